#include "airlock/worker/descriptor_limit.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <system_error>

#include <sys/resource.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"

namespace airlock {
namespace {

constexpr long kMost = std::numeric_limits<int>::max();

long open_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator all("/proc/self/fd", error);
  return error ? 32 : std::distance(begin(all), end(all));
}

long bounded(rlim_t limit) {
  return limit > static_cast<rlim_t>(kMost) ? kMost : static_cast<long>(limit);
}

}  // namespace

int sessions_that_fit(int wanted, int greeting, long open, long limit) noexcept {
  const long room = limit - open - kSpareDescriptors - greeting;
  return static_cast<int>(std::min<long>(wanted, std::max(room, 0L)));
}

int make_room_for_sessions(int wanted, int greeting) {
  rlimit limits{};
  if (::getrlimit(RLIMIT_NOFILE, &limits) != 0) return wanted;
  const long open = open_descriptors();
  if (sessions_that_fit(wanted, greeting, open, bounded(limits.rlim_cur)) < wanted) {
    const long needed = open + kSpareDescriptors + greeting + wanted;
    const rlimit raised{std::min(limits.rlim_max, static_cast<rlim_t>(needed)), limits.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limits = raised;
  }
  const int fit = sessions_that_fit(wanted, greeting, open, bounded(limits.rlim_cur));
  require(fit > 0, ErrorCode::kResourceExhausted,
          "a limit of {} descriptors leaves no room for a session, {} are open; raise it with "
          "`ulimit -n`",
          limits.rlim_cur, open);
  if (fit < wanted) {
    log_warning(
        "a limit of {} descriptors leaves room for {} sessions of {}; raise it with "
        "`ulimit -n`",
        limits.rlim_cur, fit, wanted);
  }
  return fit;
}

}  // namespace airlock
