// A parallel loop over pieces of a checkpoint that reports progress and can be stopped.
// Inside the model room only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "airlock/core/stop.h"
#include "airlock/model/checkpoint.h"

namespace airlock {

/// Calls work(i) once for every piece, on all threads, each taking the next free piece; `sizes[i]`
/// is the piece's bytes. `progress` is called on the caller's thread every few hundred MiB and at
/// the end. The first exception of `work` stops the loop and is rethrown; so does `stop`, as
/// Error(kInterrupted).
void for_each_piece(std::span<const std::int64_t> sizes,
                    const std::function<void(std::size_t)>& work, const ByteProgress& progress,
                    const StopToken& stop);

}  // namespace airlock
