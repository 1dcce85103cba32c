// How many threads kernels use, and a parallel loop over them (OpenMP underneath).
#pragma once

#include <cstdint>

namespace airlock {

/// Threads a kernel may use: set_threads' value, else OpenMP's default (the cores we may run on),
/// at most most_threads().
[[nodiscard]] int threads() noexcept;
/// The most that set_threads takes: 4 a core that we may run on, at least 64. A system that cannot
/// start a thread ends the process (OpenMP has no other way), and more than that help nobody.
[[nodiscard]] int most_threads() noexcept;
/// Sets it for the whole process (0: the default again). Throws Error(kInvalidArgument) below 0 and
/// above most_threads().
void set_threads(int count);

/// True if RLIMIT_AS leaves room for the stacks of so many threads more.
[[nodiscard]] bool has_room_for_threads(int count) noexcept;

/// Makes the threads that OpenMP keeps for the calling thread, threads() - 1 of them, and lets all
/// of them flush denormals (core/denormals.h), once for each calling thread: a library that
/// computes with OpenMP finds them so. Throws Error(kResourceExhausted) if RLIMIT_AS leaves no room
/// for their stacks: OpenMP would end the process.
void ready_team();

/// Splits [0, count) into contiguous ranges of at least `grain` and calls body(begin, end) for each
/// on its own thread; on the calling thread alone if there is one range. `body` must not throw.
/// Ranges differ in length by at most one, so equal work per index is spread evenly. Denormals are
/// flushed while `body` runs. Throws as ready_team.
template <typename Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body);

/// Calls body(index, thread) for every index of [0, count), each on the thread, 0 to threads() - 1,
/// that is free first: for tasks long enough that one held up by another process must not hold up
/// the rest. `body` must not throw. On the calling thread alone, as thread 0, within a parallel
/// loop. Denormals are flushed while `body` runs. Throws as ready_team.
template <typename Body>
void parallel_tasks(std::int64_t count, const Body& body);

namespace detail {
using RangeFunction = void (*)(const void* body, std::int64_t begin, std::int64_t end);
void parallel_ranges(std::int64_t count, std::int64_t grain, RangeFunction call, const void* body);
using TaskFunction = void (*)(const void* body, std::int64_t index, int thread);
void parallel_indices(std::int64_t count, TaskFunction call, const void* body);
}  // namespace detail

template <typename Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  detail::parallel_ranges(
      count, grain,
      [](const void* b, std::int64_t begin, std::int64_t end) {
        (*static_cast<const Body*>(b))(begin, end);
      },
      &body);
}

template <typename Body>
void parallel_tasks(std::int64_t count, const Body& body) {
  detail::parallel_indices(
      count,
      [](const void* b, std::int64_t index, int thread) {
        (*static_cast<const Body*>(b))(index, thread);
      },
      &body);
}

/// Makes idle OpenMP threads sleep instead of spinning: the other process shares these cores.
/// OpenMP reads its setting at load, so this re-executes the program once with OMP_WAIT_POLICY
/// set, unless it is already. Call first in main. Returns if nothing needs doing or exec fails.
void ensure_passive_waiting(char** argv);

}  // namespace airlock
