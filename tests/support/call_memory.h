// The runner's memory for a call, and whether what came back is what FakeBackend answers.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "airlock/ops/rules.h"

#include "tests/support/fake_backend.h"

namespace airlock::testing {

/// Tensors of a call in the runner's memory: f32 (ids: i64), filled with small integers. Movable.
class CallMemory {
 public:
  CallMemory(const ModelConfig& config, const Call& call, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (const TensorSpec& spec : call.inputs) {
      Tensor tensor = add(spec);
      const std::int64_t count = spec.shape.elements();
      for (std::int64_t i = 0; i < count; ++i) {
        const auto value = static_cast<int>(random() % 8);
        if (spec.dtype == DType::kI64) {
          tensor.as<std::int64_t>()[i] = value;
        } else {
          tensor.as<float>()[i] = static_cast<float>(value);
        }
      }
      inputs.push_back(tensor);
    }
    for (const TensorSpec& spec : infer_outputs(config, call)) outputs.push_back(add(spec));
  }

  CallMemory(CallMemory&&) = default;
  CallMemory& operator=(CallMemory&&) = default;

  /// True if every output is what FakeBackend answers (exact: sums of small integers).
  bool answered() const {
    std::vector<float> scratch;
    const float sum = sum_of(inputs, scratch);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::int64_t count = outputs[i].spec.shape.elements();
      for (std::int64_t at = 0; at < count; ++at) {
        if (outputs[i].as<float>()[at] != fake_answer(sum, i)) return false;
      }
    }
    return true;
  }

  std::vector<ConstTensor> inputs;
  std::vector<Tensor> outputs;

 private:
  Tensor add(const TensorSpec& spec) {
    const TensorSpec own{spec.dtype == DType::kI64 ? DType::kI64 : DType::kF32, spec.shape};
    blocks_.emplace_back(static_cast<std::size_t>(own.bytes()));
    return {own, blocks_.back().data()};
  }
  std::vector<std::vector<std::byte>> blocks_;
};

}  // namespace airlock::testing
