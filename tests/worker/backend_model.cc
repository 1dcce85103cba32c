#include "tests/worker/backend_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/support/model_configs.h"

namespace airlock::testing {
namespace {

Buffer aligned(std::int64_t bytes) {
  static const BufferPool pool;
  return pool.acquire(static_cast<std::size_t>(bytes));
}

}  // namespace

OwnedTensor::OwnedTensor(const TensorSpec& spec) : spec_(spec), buffer_(aligned(spec.bytes())) {
  // Garbage that shows if a kernel reads or leaves it.
  std::memset(buffer_.data(), 0xFF, buffer_.size());
}

OwnedTensor::OwnedTensor(DType dtype, const Shape& shape, const std::vector<double>& values)
    : OwnedTensor(TensorSpec{dtype, shape}) {
  std::byte* data = buffer_.data();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    if (dtype == DType::kF32) reinterpret_cast<float*>(data)[i] = value;
    if (dtype == DType::kBF16) reinterpret_cast<BF16*>(data)[i] = BF16::from_float(value);
    if (dtype == DType::kF16) reinterpret_cast<F16*>(data)[i] = F16::from_float(value);
  }
  if (dtype != DType::kI8) return;
  const auto columns = static_cast<std::size_t>(shape.columns());
  for (std::size_t row = 0; row < values.size() / columns; ++row) {
    double peak = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      peak = std::max(peak, std::abs(values[row * columns + i]));
    }
    const auto scale = static_cast<float>(peak / 127);
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      const double quantized = scale > 0 ? std::nearbyint(values[i] / scale) : 0;
      reinterpret_cast<std::int8_t*>(data)[i] =
          static_cast<std::int8_t>(std::clamp(quantized, -127.0, 127.0));
    }
    std::memcpy(data + values.size() + row * sizeof(float), &scale, sizeof(float));
  }
}

OwnedTensor::OwnedTensor(const std::vector<std::int64_t>& ids)
    : OwnedTensor(TensorSpec{DType::kI64, {static_cast<std::int64_t>(ids.size())}}) {
  std::memcpy(buffer_.data(), ids.data(), ids.size() * sizeof(std::int64_t));
}

std::vector<double> OwnedTensor::values() const {
  return decode(tensor());
}

std::vector<double> decode(ConstTensor tensor) {
  const auto count = static_cast<std::size_t>(tensor.spec.shape.elements());
  const auto columns = static_cast<std::size_t>(tensor.spec.shape.columns());
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    switch (tensor.spec.dtype) {
      case DType::kF32:
        values[i] = tensor.as<float>()[i];
        break;
      case DType::kBF16:
        values[i] = tensor.as<BF16>()[i].to_float();
        break;
      case DType::kF16:
        values[i] = tensor.as<F16>()[i].to_float();
        break;
      case DType::kI8: {
        float scale = 0;
        std::memcpy(&scale, tensor.data + count + i / columns * sizeof(float), sizeof(float));
        values[i] = static_cast<double>(tensor.as<std::int8_t>()[i]) * scale;
        break;
      }
      case DType::kI64:
        values[i] = static_cast<double>(tensor.as<std::int64_t>()[i]);
        break;
      case DType::kRing:
        values[i] = tensor.as<std::uint32_t>()[i];
        break;
      case DType::kRing16:
        values[i] = tensor.as<std::uint16_t>()[i];
        break;
      case DType::kI16:
        values[i] = tensor.as<std::int16_t>()[i];
        break;
    }
  }
  return values;
}

std::vector<double> random_values(std::mt19937_64& rng, std::int64_t count, double deviation) {
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = normal(rng);
  return values;
}

OwnedTensor random_tensor(std::mt19937_64& rng, DType dtype, const Shape& shape, double deviation) {
  return {dtype, shape, random_values(rng, shape.elements(), deviation)};
}

RandomWeights::RandomWeights(const ModelConfig& config, DType dtype, std::uint64_t seed)
    : config_(config) {
  std::mt19937_64 rng(seed);
  const auto add = [&](Weight weight, int layer) {
    const Shape shape = weight_shape(config, weight);
    const double deviation = 1 / std::sqrt(static_cast<double>(shape[1]));
    tensors_.emplace(std::pair(layer, weight), random_tensor(rng, dtype, shape, deviation));
  };
  add(Weight::kEmbedding, kNoLayer);
  add(Weight::kLmHead, kNoLayer);
  for (int layer = 0; layer < config.layers; ++layer) {
    for (const Weight weight : layer_matrices()) add(weight, layer);
  }
}

ModelConfig odd_config() {
  return counted_config({2, 45, 6, 2, 14, 77, 103, 4096});
}

ModelConfig single_kv_head_config() {
  ModelConfig config = counted_config({1, 64, 3, 1, 32, 130, 65, 2048});
  config.rope_theta = 500000;
  config.rope_scaling = Llama3RopeScaling{32, 1, 4, 64};
  config.tie_embeddings = true;
  return config;
}

ModelConfig wide_heads_config(std::int64_t head_dim) {
  ModelConfig config = odd_config();
  config.layers = 1;
  config.heads = 4;
  config.head_dim = head_dim;
  return config;
}

}  // namespace airlock::testing
