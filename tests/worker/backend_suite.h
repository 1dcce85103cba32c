// The suite that every backend passes: a backend joins by adding itself to backend_makers().
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/ops/rules.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/weight_source.h"

#include "tests/worker/backend_model.h"
#include "tests/worker/backend_reference.h"

namespace airlock::testing {

/// One kind of backend. `make` gets a pool whose counters show what a call leaves behind.
struct BackendMaker {
  std::string name;
  std::vector<DType> computes;
  std::string missing;  ///< why it cannot run here, or ""
  std::function<std::unique_ptr<Backend>(WeightSource&, DType compute, ProductKinds products,
                                         const BufferPool& pool)>
      make;
};
const std::vector<BackendMaker>& backend_makers();

struct BackendCase {
  BackendMaker maker;
  DType compute;
  friend void PrintTo(const BackendCase& self, std::ostream* out) {
    *out << self.maker.name << ' ' << dtype_name(self.compute);
  }
};

/// Tests over every backend and compute dtype, on odd_config() in bf16 unless one asks otherwise.
class BackendTest : public ::testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    if (!GetParam().maker.missing.empty()) GTEST_SKIP() << GetParam().maker.missing;
    use(odd_config(), DType::kBF16);
  }
  void use(const ModelConfig& config, DType weights);

  /// Checks the call, runs it on `sequences` and gives its outputs.
  std::vector<OwnedTensor> run(std::span<BackendSequence* const> sequences, Call call,
                               const std::vector<ConstTensor>& inputs);
  /// A call of one sequence has all rows.
  std::vector<OwnedTensor> run(BackendSequence& sequence, Call call,
                               const std::vector<ConstTensor>& inputs);
  std::vector<OwnedTensor> run(const Call& call, const std::vector<ConstTensor>& inputs) {
    return run(*sequence_, call, inputs);
  }

  [[nodiscard]] OwnedTensor random(DType dtype, const Shape& shape, double deviation = 1) {
    return random_tensor(rng_, dtype, shape, deviation);
  }
  /// Of products with weights, and of everything else.
  [[nodiscard]] DType compute() const { return backend_->compute_dtype(); }
  [[nodiscard]] DType activations() const {
    return compute() == DType::kI8 ? DType::kBF16 : compute();
  }
  /// What an operator leaves for a product with weights.
  [[nodiscard]] Bounded activation(Bounded x) const {
    return compute() == DType::kI8 ? rounded(std::move(x), activations()) : x;
  }
  /// For expect_within, where weights are multiplied: steps of int8 make bounds of an eighth of the
  /// values for a product, of a third for a block.
  [[nodiscard]] double slack(double of_floats = 0.1) const {
    return compute() == DType::kI8 ? of_floats + 0.25 : of_floats;
  }
  [[nodiscard]] const ModelConfig& config() const { return backend_->config(); }

  BufferPool pool_;
  std::unique_ptr<RandomWeights> weights_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<BackendSequence> sequence_;
  std::mt19937_64 rng_{7};
};

/// Every backend with every dtype it computes in.
std::vector<BackendCase> backend_cases();
std::string backend_case_name(const ::testing::TestParamInfo<BackendCase>& info);

/// A call of no weights; `layer` -1 where the operator has none.
/// Attention is of one sequence; run() says of how many rows.
Call make_call(Op op, int layer, DType reply, std::int64_t position = 0);
Call linear_call(int layer, const Weights& weights, DType reply);

/// f32, bf16, f16, int8.
const std::vector<DType>& wire_dtypes();

}  // namespace airlock::testing
