// Counts what threads ask of the heap, and can refuse it. Link count_allocations.cc into the test
// program, too: it replaces malloc and its kin for the whole program (under a sanitizer only
// operator new).
#pragma once

#include <cstdint>

namespace airlock::testing {

/// Blocks the calling thread has asked for since it started.
std::int64_t allocations_of_this_thread() noexcept;
/// Blocks that all threads have asked for, those that have ended and other libraries' included.
std::int64_t allocations_of_all_threads() noexcept;

/// From the calling thread's next `after` blocks on it gets no more, as if memory had run out;
/// negative: it does again.
void refuse_allocations_of_this_thread(std::int64_t after) noexcept;

}  // namespace airlock::testing
