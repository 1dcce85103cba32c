// The ring's products of every backend, bit for bit against plain 64-bit arithmetic.
#include <array>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/math/field.h"
#include "airlock/math/field_random.h"

#include "tests/support/model_configs.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing::backend_ring_test {
namespace {

/// Elements x [rows, in], whatever dtype they travel in.
struct Elements {
  std::int64_t rows = 0;
  std::int64_t in = 0;
  std::vector<std::int64_t> values;

  Elements(std::int64_t row_count, std::int64_t columns)
      : rows(row_count), in(columns), values(static_cast<std::size_t>(rows * in)) {}

  /// Any 32 bits of kRing, which count modulo p, or any int16.
  static Elements random(std::mt19937_64& rng, DType dtype, std::int64_t rows, std::int64_t in) {
    Elements x(rows, in);
    for (std::int64_t& value : x.values) {
      const auto bits = static_cast<std::uint32_t>(rng());
      value = dtype == DType::kI16 ? std::int64_t{static_cast<std::int16_t>(bits)} : bits;
    }
    return x;
  }

  [[nodiscard]] OwnedTensor as(DType dtype) const {
    OwnedTensor tensor(TensorSpec{dtype, {rows, in}});
    std::byte* const data = tensor.tensor().data;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::kI16) {
        reinterpret_cast<std::int16_t*>(data)[i] = static_cast<std::int16_t>(values[i]);
      } else {
        reinterpret_cast<std::uint32_t*>(data)[i] = static_cast<std::uint32_t>(values[i]);
      }
    }
    return tensor;
  }
};

/// x w^T mod p for the int8 that `weight` stands for, as `reply` gives it.
std::vector<double> reference(const Elements& x, ConstTensor weight, DType reply) {
  const std::int64_t out = weight.spec.shape[0];
  std::vector<std::int8_t> q(static_cast<std::size_t>(out * x.in));
  std::vector<float> scales(static_cast<std::size_t>(out));
  quantize_weight_rows(weight, 0, out, q, scales);
  std::vector<double> y;
  y.reserve(static_cast<std::size_t>(x.rows * out));
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const std::int64_t* const elements = x.values.data() + row * x.in;
    for (std::int64_t m = 0; m < out; ++m) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < x.in; ++k)
        sum += elements[k] * q[static_cast<std::size_t>(m * x.in + k)];
      const std::uint32_t value = to_field(sum);
      y.push_back(reply == DType::kRing16 ? to_ring16(value) : value);
    }
  }
  return y;
}

Call ring_call(Op op, const Weights& weights, DType reply, int layer = 0) {
  Call call = make_call(op, weights[0] == Weight::kLmHead ? -1 : layer, reply);
  call.weights = weights;
  return call;
}

class BackendRingTest : public BackendTest {
 protected:
  [[nodiscard]] ConstTensor weight(const Call& call, int i) {
    return weights_->tensor(call.weights[i], call.layer);
  }

  void check_linear(const Call& call, DType dtype, std::int64_t rows) {
    SCOPED_TRACE(fmt::format("{}, {} rows of {}, reply {}", call, rows, dtype_name(dtype),
                             dtype_name(call.reply_dtype)));
    const Elements x = Elements::random(rng_, dtype, rows, weight(call, 0).spec.shape[1]);
    const std::vector<OwnedTensor> y = run(call, {x.as(dtype)});
    for (int i = 0; i < call.weights.size(); ++i) {
      ASSERT_EQ(y[static_cast<std::size_t>(i)].values(),
                reference(x, weight(call, i), call.reply_dtype));
    }
  }

  void check_pads(const Weights& weights, std::int64_t first, std::int64_t rows) {
    Call call = ring_call(Op::kPadProduct, weights, DType::kRing);
    call.ranges = {{0, static_cast<std::int32_t>(rows), first}};
    SCOPED_TRACE(fmt::format("{}, {} rows from {}", call, rows, first));
    FieldSeed seed{};
    for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(rng_());
    const OwnedTensor input(TensorSpec{DType::kI64, {4}});
    std::memcpy(input.tensor().data, seed.data(), seed.size());
    Elements pad(rows, weight(call, 0).spec.shape[1]);
    std::vector<std::uint32_t> row(static_cast<std::size_t>(pad.in));
    for (std::int64_t i = 0; i < rows; ++i) {
      expand_field_row(seed, static_cast<std::uint64_t>(first + i), row);
      std::copy(row.begin(), row.end(), pad.values.begin() + i * pad.in);
    }
    // Not run(call, inputs): that gives a range as many rows as its input has.
    const std::vector<OwnedTensor> y = run(std::span<BackendSequence* const>(), call, {input});
    for (int i = 0; i < call.weights.size(); ++i) {
      ASSERT_EQ(y[static_cast<std::size_t>(i)].values(),
                reference(pad, weight(call, i), DType::kRing));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Every, BackendRingTest, ::testing::ValuesIn(backend_cases()),
                         backend_case_name);

/// Every set of matrices that share their input, and parts of such sets.
const std::vector<Weights>& weight_sets() {
  static const std::vector<Weights> sets = {{Weight::kQ, Weight::kK, Weight::kV},
                                            {Weight::kO},
                                            {Weight::kGate, Weight::kUp},
                                            {Weight::kDown},
                                            {Weight::kK},
                                            {Weight::kQ, Weight::kV},
                                            {Weight::kUp, Weight::kQ},
                                            {Weight::kLmHead}};
  return sets;
}

TEST_P(BackendRingTest, LinearIsExact) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    for (const Weights& weights : weight_sets()) {
      for (const DType dtype : {DType::kRing, DType::kI16}) {
        for (const DType reply : {DType::kRing, DType::kRing16}) {
          const Call call =
              ring_call(Op::kRingLinear, weights, reply, static_cast<int>(model.layers) - 1);
          for (const std::int64_t rows : {1, 7, 33, 130}) check_linear(call, dtype, rows);
        }
      }
    }
  }
}

TEST_P(BackendRingTest, LinearIsExactForWeightsOfEveryDtype) {
  for (const DType stored : {DType::kF32, DType::kF16}) {
    use(odd_config(), stored);
    check_linear(ring_call(Op::kRingLinear, {Weight::kDown}, DType::kRing), DType::kRing, 5);
  }
}

TEST_P(BackendRingTest, OneRowAfterAnotherIsExact) {
  // Calls of few rows, again and again: a GPU records their kernels and replays them.
  for (int round = 0; round < 5; ++round) {
    for (const DType dtype : {DType::kRing, DType::kI16}) {
      check_linear(ring_call(Op::kRingLinear, {Weight::kGate, Weight::kUp}, DType::kRing16), dtype,
                   1);
      check_linear(ring_call(Op::kRingLinear, {Weight::kLmHead}, DType::kRing), dtype, 1);
    }
  }
}

TEST_P(BackendRingTest, ManyRingRowsAreExact) {
  // A GPU takes 8 MiB in and out at a time: pieces, the last of them short.
  constexpr std::int64_t kRows = 20011;
  check_linear(ring_call(Op::kRingLinear, {Weight::kK}, DType::kRing), DType::kRing, 3 * kRows);
  check_linear(ring_call(Op::kRingLinear, {Weight::kLmHead}, DType::kRing16), DType::kI16,
               2 * kRows);
}

TEST_P(BackendRingTest, PadsAreProductsOfTheSeedsRows) {
  for (const Weights& weights : weight_sets()) {
    check_pads(weights, 0, 1);
    check_pads(weights, 4097, 39);
  }
  check_pads({Weight::kO}, 0x7fffffff - 2000, 2000);
}

TEST_P(BackendRingTest, ManyRingRowsOfWidePadsAreExact) {
  // Rows of 128 KiB, 32 of which fill a page-locked slot of a GPU's copies.
  use(counted_config({1, 5, 1, 1, 4, kMaxRingTerms, 3, 64}), DType::kBF16);
  check_pads({Weight::kDown}, 3, 167);
}

/// Weights that are ±127 in int8 everywhere.
class EdgeWeights final : public WeightSource {
 public:
  EdgeWeights(const ModelConfig& config, bool alternating) : config_(config), values_(1 << 20) {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      values_[i] = alternating && (i * 7 + i / 5) % 3 == 0 ? -0.5F : 0.5F;
    }
  }
  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  using WeightSource::tensor;
  [[nodiscard]] ConstTensor tensor(Weight weight, int /*layer*/) override {
    return {{DType::kF32, weight_shape(config_, weight)},
            reinterpret_cast<const std::byte*>(values_.data())};
  }
  void release(ConstTensor /*tensor*/) override {}

 private:
  ModelConfig config_;
  std::vector<float> values_;
};

TEST_P(BackendRingTest, TheLargestSumsAreExact) {
  for (const bool alternating : {false, true}) {
    EdgeWeights source(counted_config({1, 18, 1, 1, 4, kMaxRingTerms, 3, 64}), alternating);
    const auto backend =
        GetParam().maker.make(source, GetParam().compute, ProductKinds::kRing, pool_);
    for (const DType dtype : {DType::kRing, DType::kI16}) {
      using Limits = std::numeric_limits<std::int16_t>;
      const std::array<std::int64_t, 2> edges =
          dtype == DType::kI16 ? std::array<std::int64_t, 2>{Limits::max(), Limits::min()}
                               : std::array<std::int64_t, 2>{0xffffffff, 0x7f7f7f7f};
      Elements x(6, kMaxRingTerms);
      for (std::size_t i = 0; i < x.values.size(); ++i) {
        const std::size_t row = i / static_cast<std::size_t>(x.in);
        x.values[i] = row == 0   ? edges[0]
                      : row == 1 ? edges[1]
                      : row == 2 ? 0  // the lowest digits
                                 : edges[i % 3 == 0 ? 0 : 1];
      }
      Call call = ring_call(Op::kRingLinear, {Weight::kDown}, DType::kRing);
      const OwnedTensor input = x.as(dtype);
      call.inputs = {input.spec()};
      const OwnedTensor y(infer_outputs(source.config(), call)[0]);
      const ConstTensor in = input;
      const Tensor out = y.tensor();
      backend->execute(call, {}, {&in, 1}, {&out, 1});
      EXPECT_EQ(y.values(), reference(x, source.tensor(Weight::kDown, 0), DType::kRing))
          << dtype_name(dtype) << (alternating ? ", alternating" : "");
    }
  }
}

TEST_P(BackendRingTest, WidthsPastExactSumsAreRefused) {
  EdgeWeights source(counted_config({1, 4, 1, 1, 4, kMaxRingTerms + 1, 3, 64}), false);
  try {
    GetParam().maker.make(source, GetParam().compute, ProductKinds::kRing, pool_);
    FAIL() << "the model was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("32769 columns, products of the ring are exact up to 32768"));
  }
}

TEST_P(BackendRingTest, ProductsThatABackendHasNoWeightsForAreRefused) {
  const Call exact = ring_call(Op::kRingLinear, {Weight::kO}, DType::kRing);
  const Call plain = linear_call(0, {Weight::kO}, DType::kF32);
  const OwnedTensor ring_rows(TensorSpec{DType::kRing, {2, config().q_dim()}});
  const OwnedTensor rows = random(DType::kF32, {2, config().q_dim()});
  std::int64_t bytes_of_all = backend_->weight_bytes();
  EXPECT_EQ(backend_->products(), ProductKinds::kAll);
  for (const ProductKinds kinds : {ProductKinds::kPlain, ProductKinds::kRing}) {
    sequence_.reset();
    backend_.reset();
    backend_ = GetParam().maker.make(*weights_, GetParam().compute, kinds, pool_);
    sequence_ = backend_->open_sequence();
    EXPECT_EQ(backend_->products(), kinds);
    bytes_of_all -= backend_->weight_bytes();
    const bool has_exact = kinds == ProductKinds::kRing;
    run(has_exact ? exact : plain, {has_exact ? ring_rows : rows});
    try {
      run(has_exact ? plain : exact, {has_exact ? rows : ring_rows});
      ADD_FAILURE() << "a call of others was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("--products"));
    }
  }
  EXPECT_EQ(bytes_of_all, 0);
}

}  // namespace
}  // namespace airlock::testing::backend_ring_test
