#include "airlock/core/threads.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <omp.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
std::atomic<int> g_threads{0};
const int g_default = std::min(omp_get_max_threads(), most_threads());
}  // namespace

int most_threads() noexcept {
  return std::max(64, 4 * omp_get_num_procs());
}

int threads() noexcept {
  const int chosen = g_threads.load(std::memory_order_relaxed);
  return chosen > 0 ? chosen : g_default;
}

void set_threads(int count) {
  require(count >= 0 && count <= most_threads(), ErrorCode::kInvalidArgument,
          "threads is {}, expected 0 (all) to {} on this machine", count, most_threads());
  g_threads = count;
  // oneDNN asks OpenMP, per calling thread; this covers the caller's.
  omp_set_num_threads(count > 0 ? count : g_default);
}

namespace detail {
void parallel_ranges(std::int64_t count, std::int64_t grain, RangeFunction call, const void* body) {
  if (count <= 0) return;
  const std::int64_t wanted =
      (count + std::max<std::int64_t>(grain, 1) - 1) / std::max<std::int64_t>(grain, 1);
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), wanted));
  if (team <= 1 || omp_in_parallel() != 0) {
    call(body, 0, count);
    return;
  }
#pragma omp parallel num_threads(team)
  {
    const std::int64_t size = omp_get_num_threads();
    const std::int64_t index = omp_get_thread_num();
    const std::int64_t begin = count * index / size;
    const std::int64_t end = count * (index + 1) / size;
    if (begin < end) call(body, begin, end);
  }
}

void parallel_indices(std::int64_t count, TaskFunction call, const void* body) {
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), count));
  if (team <= 1 || omp_in_parallel() != 0) {
    for (std::int64_t i = 0; i < count; ++i) call(body, i, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
  for (std::int64_t i = 0; i < count; ++i) call(body, i, omp_get_thread_num());
}
}  // namespace detail

void ensure_passive_waiting(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::execv("/proc/self/exe", argv);
}

}  // namespace airlock
