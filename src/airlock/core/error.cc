#include "airlock/core/error.h"

#include <algorithm>
#include <array>
#include <vector>

namespace airlock {
namespace {
constexpr std::array<std::string_view, 16> kCodeNames = {
    "internal",           "invalid_argument", "not_found",      "io",
    "corrupt_file",       "unsupported",      "model_mismatch", "protocol",
    "connection_refused", "connection_lost",  "timeout",        "address_in_use",
    "resource_exhausted", "session_lost",     "interrupted",    "check_failed"};
}

std::string_view error_code_name(ErrorCode code) noexcept {
  const auto index = static_cast<std::size_t>(code);
  return index < kCodeNames.size() ? kCodeNames[index] : "unknown";
}

bool is_error_code(unsigned value) noexcept {
  return value < kCodeNames.size();
}

namespace detail {
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}
}  // namespace detail
}  // namespace airlock
