// Random tensors and the machine epsilons that the math tests derive their bounds from.
#pragma once

#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"

namespace airlock::testing {

/// Unit roundoff: the largest relative error of one rounding to nearest.
constexpr double kF32Unit = 0x1p-24;
constexpr double kBF16Unit = 0x1p-8;

/// Sizes around every vector width: below, at and past 4, 8, 16, 32 and 64 lanes.
inline const std::vector<std::int64_t> kOddSizes = {1,  2,  3,  4,  5,  7,  8,   9,   15,  16,
                                                    17, 31, 32, 33, 63, 64, 100, 127, 129, 1000};

inline std::vector<float> random_floats(std::int64_t count, unsigned seed, float deviation = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

/// f32 or bf16 elements as a tensor of that shape.
template <typename T>
Tensor tensor_at(const T* elements, const Shape& shape) {
  constexpr DType kDType = std::is_same_v<T, float> ? DType::kF32 : DType::kBF16;
  return {{kDType, shape}, reinterpret_cast<std::byte*>(const_cast<T*>(elements))};
}

inline std::vector<BF16> to_bf16(const std::vector<float>& values) {
  std::vector<BF16> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i] = BF16::from_float(values[i]);
  return result;
}

}  // namespace airlock::testing
