// A small random model for tests of backends, and tensors in every dtype that travels.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/worker/weight_source.h"

namespace airlock::testing {

/// A dense tensor that owns its bytes, 64-byte aligned as backends ask.
class OwnedTensor {
 public:
  explicit OwnedTensor(const TensorSpec& spec);
  /// `values` in row-major order, rounded to `dtype` by the scalar conversions of core/dtype.h
  /// (int8: as wire tensors are, one scale a row).
  OwnedTensor(DType dtype, const Shape& shape, const std::vector<double>& values);
  /// Token ids.
  explicit OwnedTensor(const std::vector<std::int64_t>& ids);

  [[nodiscard]] Tensor tensor() const { return {spec_, buffer_.data()}; }
  operator ConstTensor() const { return tensor(); }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const TensorSpec& spec() const noexcept { return spec_; }
  /// The elements' exact values.
  [[nodiscard]] std::vector<double> values() const;

 private:
  TensorSpec spec_;
  Buffer buffer_;
};

/// The exact values of any float tensor.
std::vector<double> decode(ConstTensor tensor);

/// `count` values from a normal distribution of that deviation.
std::vector<double> random_values(std::mt19937_64& rng, std::int64_t count, double deviation = 1);
OwnedTensor random_tensor(std::mt19937_64& rng, DType dtype, const Shape& shape,
                          double deviation = 1);

/// Random weights of `config`, in `dtype`, of deviation 1 / sqrt(in). Counts what is released.
class RandomWeights final : public WeightSource {
 public:
  RandomWeights(const ModelConfig& config, DType dtype, std::uint64_t seed = 1);

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  using WeightSource::tensor;
  [[nodiscard]] ConstTensor tensor(Weight weight, int layer) override {
    const bool tied = weight == Weight::kLmHead && config_.tie_embeddings;
    return tensors_.at({layer, tied ? Weight::kEmbedding : weight});
  }
  void release(ConstTensor tensor) override { ++releases_[tensor.data]; }

  [[nodiscard]] const std::map<const std::byte*, int>& releases() const { return releases_; }

 private:
  ModelConfig config_;
  std::map<std::pair<int, Weight>, OwnedTensor> tensors_;
  std::map<const std::byte*, int> releases_;
};

/// Shapes that divide nothing evenly: two layers, three query heads a KV head.
ModelConfig odd_config();
/// One KV head, head_dim that is not hidden / heads, tied embeddings, llama3 scaling.
ModelConfig single_kv_head_config();
/// Heads of 64 and of 128, which GPUs compute on tensor cores.
ModelConfig wide_heads_config(std::int64_t head_dim);

}  // namespace airlock::testing
