// Tensors of several kinds of content, for whatever packs them.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/math/convert.h"
#include "airlock/math/softmax.h"

namespace airlock::testing {

using TensorBytes = std::vector<std::byte>;

inline std::size_t bytes_of(const TensorSpec& spec) {
  return static_cast<std::size_t>(spec.bytes());
}

inline TensorBytes tensor_of(const TensorSpec& spec, const std::vector<float>& values) {
  TensorBytes raw(bytes_of(spec));
  convert({{DType::kF32, spec.shape}, reinterpret_cast<const std::byte*>(values.data())},
          {spec, raw.data()});
  return raw;
}

inline std::vector<float> gaussian_values(const TensorSpec& spec) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(spec.shape.elements()));
  for (float& value : values) value = normal(engine);
  return values;
}

inline TensorBytes gaussian(const TensorSpec& spec) {
  return tensor_of(spec, gaussian_values(spec));
}

inline TensorBytes zeros(const TensorSpec& spec) {
  return TensorBytes(bytes_of(spec));
}

inline TensorBytes constant(const TensorSpec& spec) {
  return tensor_of(spec, std::vector<float>(static_cast<std::size_t>(spec.shape.elements()), 0.3F));
}

inline TensorBytes random_bytes(const TensorSpec& spec) {
  std::mt19937 engine(2);
  TensorBytes raw(bytes_of(spec));
  for (std::byte& byte : raw) byte = static_cast<std::byte>(engine());
  return raw;
}

/// NaN, infinities, -0, a subnormal and the largest, in no order.
inline TensorBytes specials(const TensorSpec& spec) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float kinds[] = {std::nanf(""), kInfinity, -kInfinity, -0.0F, 1e-42F, 3e38F};
  std::mt19937 engine(3);
  std::vector<float> values(static_cast<std::size_t>(spec.shape.elements()));
  for (float& value : values) value = kinds[engine() % 6];
  return tensor_of(spec, values);
}

/// A row of zeros behind each row of something: what a mask leaves.
inline TensorBytes masked(const TensorSpec& spec) {
  std::vector<float> values = gaussian_values(spec);
  const auto columns = static_cast<std::size_t>(spec.shape.columns());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i / columns % 2 == 1) values[i] = 0;
  }
  return tensor_of(spec, values);
}

/// Heads of 64 columns, each sent four times.
inline TensorBytes repeated_heads(const TensorSpec& spec) {
  std::vector<float> values = gaussian_values(spec);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i / 256 * 256 + i % 64];
  return tensor_of(spec, values);
}

/// Probabilities under a causal mask. spec: [heads, tokens, tokens].
inline TensorBytes probabilities(const TensorSpec& spec) {
  std::vector<float> values = gaussian_values(spec);
  causal_softmax({{DType::kF32, spec.shape}, reinterpret_cast<std::byte*>(values.data())}, 0, 1);
  return tensor_of(spec, values);
}

struct TensorContent {
  const char* name;
  TensorBytes (*make)(const TensorSpec&);
};
/// Those of any shape.
inline const TensorContent kTensorContents[] = {
    {"gaussian", gaussian},         {"zeros", zeros},       {"constant", constant},
    {"random bytes", random_bytes}, {"specials", specials}, {"masked", masked}};

}  // namespace airlock::testing
