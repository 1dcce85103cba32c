// How fast this machine does the shield's work: to tell fused times apart, and to choose plans by.
#pragma once

#include <utility>

namespace airlock {

/// The share in [0, 1] that `checks` sums take of mask_tile's and of unmask_tile's time, on one
/// large tile, in some 20 ms. Thread-safe.
[[nodiscard]] std::pair<double, double> measure_check_share(int checks);

/// Values a second, of inputs and outputs of products, with all threads.
struct ShieldRates {
  double pads = 0;     ///< made from lattice secrets of degree 512 and rank 3
  double checks = 0;   ///< summed for one check
  double convert = 0;  ///< quantized and masked, or unmasked and scaled
};
/// About 100 ms. Not thread-safe.
[[nodiscard]] ShieldRates measure_shield_rates();

}  // namespace airlock
