// Element types inside kernels: the same conversions, bit for bit, on GPU and host.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/kernels/block.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#else
#include <bit>
#endif

namespace airlock::cuda {

AIRLOCK_HD std::uint32_t bits_of(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#elif defined(__CUDACC__)
  return __builtin_bit_cast(std::uint32_t, value);
#else
  return std::bit_cast<std::uint32_t>(value);
#endif
}

AIRLOCK_HD float float_of(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#elif defined(__CUDACC__)
  return __builtin_bit_cast(float, bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

AIRLOCK_HD float to_float(float value) {
  return value;
}
AIRLOCK_HD float to_float(BF16 value) {
  return float_of(static_cast<std::uint32_t>(value.bits) << 16);
}
AIRLOCK_HD float to_float(F16 value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  return value.to_float();
#endif
}

/// Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN.
template <typename T>
AIRLOCK_HD T from_float(float value);
template <>
AIRLOCK_HD float from_float<float>(float value) {
  return value;
}
template <>
AIRLOCK_HD BF16 from_float<BF16>(float value) {
  const std::uint32_t bits = bits_of(value);
  BF16 out;
  if ((bits & 0x7fffffffU) > 0x7f800000U) {
    out.bits = static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  } else {
    out.bits = static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
  }
  return out;
}
template <>
AIRLOCK_HD F16 from_float<F16>(float value) {
#if defined(__CUDA_ARCH__)
  F16 out;
  out.bits = __half_as_ushort(__float2half_rn(value));
  return out;
#else
  return F16::from_float(value);
#endif
}

}  // namespace airlock::cuda
