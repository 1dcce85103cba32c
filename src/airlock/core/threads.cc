#include "airlock/core/threads.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>

#include <omp.h>
#include <pthread.h>
#include <unistd.h>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"
#include "airlock/core/memory_budget.h"
#include "airlock/core/process_memory.h"

namespace airlock {
namespace {
std::atomic<int> g_threads{0};
const int g_default = std::min(omp_get_max_threads(), most_threads());

std::int64_t stack_bytes() {
  pthread_attr_t defaults;
  std::size_t bytes = 0;
  std::size_t guard = 0;
  if (::pthread_getattr_default_np(&defaults) != 0) return 0;
  ::pthread_attr_getstacksize(&defaults, &bytes);
  ::pthread_attr_getguardsize(&defaults, &guard);
  ::pthread_attr_destroy(&defaults);
  return static_cast<std::int64_t>(bytes + guard);
}
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

bool has_room_for_threads(int count) noexcept {
  static const std::int64_t stack = stack_bytes();
  return room_for(count * stack);
}

void ready_team() {
  static std::mutex one_at_a_time;  // else two would count on the same room
  thread_local int ready = 0;
  const int team = threads();
  if (ready == team || omp_in_parallel() != 0) return;
  const std::lock_guard lock(one_at_a_time);
  require(has_room_for_threads(team - 1), ErrorCode::kResourceExhausted,
          "no memory for the stacks of {} threads: RLIMIT_AS leaves {} bytes of address space; "
          "raise it or lower --threads",
          team - 1, address_space_left());
  omp_set_num_threads(team);  // kept for each calling thread, and oneDNN asks OpenMP
  const FlushDenormals flush;
#pragma omp parallel num_threads(team)
  {
    if (omp_get_thread_num() != 0) flush_denormals();
  }
  ready = team;
}

namespace detail {
void parallel_ranges(std::int64_t count, std::int64_t grain, RangeFunction call, const void* body) {
  if (count <= 0) return;
  const std::int64_t wanted =
      (count + std::max<std::int64_t>(grain, 1) - 1) / std::max<std::int64_t>(grain, 1);
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), wanted));
  const FlushDenormals flush_here;
  if (team <= 1 || omp_in_parallel() != 0) {
    call(body, 0, count);
    return;
  }
  ready_team();
#pragma omp parallel num_threads(team)
  {
    const FlushDenormals flush;
    const std::int64_t size = omp_get_num_threads();
    const std::int64_t index = omp_get_thread_num();
    const std::int64_t begin = count * index / size;
    const std::int64_t end = count * (index + 1) / size;
    if (begin < end) call(body, begin, end);
  }
}

void parallel_indices(std::int64_t count, TaskFunction call, const void* body) {
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), count));
  const FlushDenormals flush_here;
  if (team <= 1 || omp_in_parallel() != 0) {
    for (std::int64_t i = 0; i < count; ++i) call(body, i, 0);
    return;
  }
  ready_team();
#pragma omp parallel num_threads(team)
  {
    const FlushDenormals flush;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < count; ++i) call(body, i, omp_get_thread_num());
  }
}
}  // namespace detail

void ensure_passive_waiting(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::execv("/proc/self/exe", argv);
}

}  // namespace airlock
