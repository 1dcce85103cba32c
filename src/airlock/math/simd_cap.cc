#include "airlock/math/simd_cap.h"

#include <cstdint>

#include <hwy/targets.h>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"

namespace airlock {
namespace {

/// Highway numbers the targets of a processor's family from the best down.
constexpr std::int64_t better_than(std::int64_t target) {
  return target - 1;
}

std::int64_t ruled_out(Isa most) {
  switch (most) {
    case Isa::kBase:
    case Isa::kAvx2:
      return better_than(HWY_AVX2);
    case Isa::kAvx512:
      return better_than(HWY_AVX3);
    default:
      return 0;
  }
}

}  // namespace

bool cap_simd() noexcept {
  try {
    const std::int64_t targets = ruled_out(max_isa());
    if (targets != 0) hwy::DisableTargets(targets);
    return targets != 0;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace airlock
