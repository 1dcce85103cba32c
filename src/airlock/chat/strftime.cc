#include "airlock/chat/strftime.h"

#include <array>

#include "airlock/core/error.h"

namespace airlock::chat {

std::string format_time(std::string_view format, const std::tm& time) {
  constexpr std::size_t kMaxFormat = 1024;
  require(format.size() <= kMaxFormat, ErrorCode::kInvalidArgument,
          "`strftime_now` wants a format of at most {} bytes", kMaxFormat);
  std::string plain;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char next = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    if (next == 'f' || next == 'z' || next == 'Z') {
      plain += next == 'f' ? "000000" : "";
      ++i;
    } else {
      plain += format[i];
      if (next == '%') plain += format[++i];
    }
  }
  // The mark tells an empty result from one that does not fit.
  plain += '.';
  std::array<char, 16384> out{};
  const std::size_t size = std::strftime(out.data(), out.size(), plain.c_str(), &time);
  require(size != 0, ErrorCode::kInvalidArgument, "`strftime_now` gives a text that is too long");
  return {out.data(), size - 1};
}

}  // namespace airlock::chat
