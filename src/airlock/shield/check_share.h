// How much of the tile kernels' time goes into the sums of the checks, which are fused with the
// rest: measured, so that times can be told apart.
#pragma once

#include <utility>

namespace airlock {

/// The share in [0, 1] that `checks` sums take of mask_tile's and of unmask_tile's time, on one
/// tile, in about a millisecond. Thread-safe.
[[nodiscard]] std::pair<double, double> measure_check_share(int checks);

}  // namespace airlock
