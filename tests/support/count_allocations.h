// Counts what a thread asks of the heap. Link count_allocations.cc into the test program, too: it
// replaces operator new for the whole program.
#pragma once

#include <cstdint>

namespace airlock::testing {

/// Calls of operator new on the calling thread since it started.
std::int64_t allocations_of_this_thread() noexcept;

}  // namespace airlock::testing
