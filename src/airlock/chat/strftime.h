// Python's datetime.strftime, in the C locale and without a time zone. Inside the chat room only.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace airlock::chat {

/// `time` as `format` says. %f is 000000; %z and %Z are empty, as of a datetime without a zone.
/// Throws Error(kInvalidArgument) for a format or a result of more than some KiB.
std::string format_time(std::string_view format, const std::tm& time);

}  // namespace airlock::chat
