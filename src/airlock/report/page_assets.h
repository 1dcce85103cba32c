// The page's style sheet and script, embedded when the project is configured.
#pragma once

#include <string_view>

namespace airlock {
extern const std::string_view kPageCss;
extern const std::string_view kPageScript;
}  // namespace airlock
