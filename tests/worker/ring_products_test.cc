// RingLinear and PadProduct of the backend, bit for bit against plain 64-bit arithmetic.
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/math/field.h"
#include "airlock/math/field_random.h"
#include "airlock/ops/rules.h"
#include "airlock/worker/cpu/cpu_backend.h"

#include "tests/support/small_model.h"
#include "tests/worker/backend_model.h"

namespace airlock::ring_products_test {
namespace {

using testing::RandomWeights;
using Rows = std::pair<int, int>;

class RingProductsTest : public ::testing::TestWithParam<DType> {
 protected:
  std::unique_ptr<Backend> backend(ProductKinds products) {
    CpuBackendOptions options;
    options.compute_dtype = DType::kF32;
    options.products = products;
    return make_cpu_backend(weights_, options);
  }

  /// Runs a call that keeps the rules on `input`; gives the outputs' bytes.
  static std::vector<std::vector<std::byte>> run(Backend& on, const Call& call, const void* input) {
    const TensorSpecs specs = infer_outputs(on.config(), call);
    std::vector<Buffer> buffers;
    std::vector<Tensor> outputs;
    const BufferPool pool;
    for (const TensorSpec& spec : specs) {
      buffers.push_back(pool.acquire(static_cast<std::size_t>(spec.bytes())));
      outputs.push_back({spec, buffers.back().data()});
    }
    const Buffer in = pool.acquire(static_cast<std::size_t>(call.inputs[0].bytes()));
    std::memcpy(in.data(), input, in.size());
    const ConstTensor inputs[] = {{call.inputs[0], in.data()}};
    on.execute(call, {}, inputs, outputs);
    std::vector<std::vector<std::byte>> bytes;
    for (const Buffer& buffer : buffers) {
      bytes.emplace_back(buffer.data(), buffer.data() + buffer.size());
    }
    return bytes;
  }

  /// x [rows, in] times the int8 weights of a matrix, modulo p.
  std::vector<std::uint32_t> reference(const std::vector<std::int64_t>& x, std::int64_t rows,
                                       Weight weight, int layer) {
    const ConstTensor tensor = weights_.tensor(weight, layer);
    const std::int64_t out = tensor.spec.shape[0];
    const std::int64_t in = tensor.spec.shape[1];
    std::vector<std::int8_t> q(static_cast<std::size_t>(out * in));
    std::vector<float> scales(static_cast<std::size_t>(out));
    quantize_weight_rows(tensor, 0, out, q, scales);
    std::vector<std::uint32_t> y;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t m = 0; m < out; ++m) {
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < in; ++k) {
          sum +=
              x[static_cast<std::size_t>(row * in + k)] * q[static_cast<std::size_t>(m * in + k)];
        }
        y.push_back(to_field(sum));
      }
    }
    return y;
  }

  static std::vector<Call> products(const ModelConfig& m, std::int64_t rows) {
    const auto call = [&](int layer, Weights weights, std::int64_t in) {
      Call made;
      made.op = Op::kRingLinear;
      made.layer = layer;
      made.weights = weights;
      made.inputs = {{DType::kRing, {rows, in}}};
      made.reply_dtype = DType::kRing;
      return made;
    };
    return {call(0, {Weight::kQ, Weight::kK, Weight::kV}, m.hidden),
            call(1, {Weight::kO}, m.q_dim()), call(1, {Weight::kGate, Weight::kUp}, m.hidden),
            call(0, {Weight::kDown}, m.ffn), call(kNoLayer, {Weight::kLmHead}, m.hidden)};
  }

  ModelConfig config_ = testing::small_config();
  RandomWeights weights_{config_, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Stored, RingProductsTest,
                         ::testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& at) { return std::string(dtype_name(at.param)); });

TEST_P(RingProductsTest, RingLinearIsExactInEveryDtypeThatTravels) {
  const auto on = backend(ProductKinds::kRing);
  std::mt19937_64 random(5);
  for (const std::int64_t rows : {1, 2, 19}) {
    for (Call call : products(config_, rows)) {
      const std::int64_t count = call.inputs[0].shape.elements();
      for (const DType in : {DType::kRing, DType::kI16}) {
        call.inputs[0].dtype = in;
        std::vector<std::uint32_t> ring;
        std::vector<std::int16_t> int16;
        std::vector<std::int64_t> exact;
        for (std::int64_t i = 0; i < count; ++i) {
          ring.push_back(static_cast<std::uint32_t>(random() % kFieldPrime));
          int16.push_back(static_cast<std::int16_t>(random()));
          exact.push_back(in == DType::kRing ? std::int64_t{ring.back()} : int16.back());
        }
        const void* const input =
            in == DType::kRing ? static_cast<const void*>(ring.data()) : int16.data();
        for (const DType reply : {DType::kRing, DType::kRing16}) {
          call.reply_dtype = reply;
          const auto found = run(*on, call, input);
          for (std::size_t i = 0; i < found.size(); ++i) {
            const Weight weight = call.weights[static_cast<int>(i)];
            const auto expected = reference(exact, rows, weight, call.layer);
            for (std::size_t at = 0; at < expected.size(); ++at) {
              if (reply == DType::kRing) {
                ASSERT_EQ(reinterpret_cast<const std::uint32_t*>(found[i].data())[at], expected[at])
                    << describe(call) << ", " << weight_name(weight);
              } else {
                ASSERT_EQ(reinterpret_cast<const std::uint16_t*>(found[i].data())[at],
                          to_ring16(expected[at]));
              }
            }
          }
        }
      }
    }
  }
}

TEST_P(RingProductsTest, PadProductIsTheProductOfTheSeedsRows) {
  const auto on = backend(ProductKinds::kAll);
  FieldSeed seed{};
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(17 * i + 3);
  for (const auto& [first, rows] : {Rows{0, 1}, Rows{5, 300}, Rows{2000000000, 7}}) {
    for (Call call : products(config_, 1)) {
      const std::int64_t in = call.inputs[0].shape[1];
      call.op = Op::kPadProduct;
      call.inputs = {{DType::kI64, {4}}};
      call.ranges = {{0, rows, first}};
      const auto found = run(*on, call, seed.data());
      std::vector<std::int64_t> x;
      for (int row = 0; row < rows; ++row) {
        std::vector<std::uint32_t> values(static_cast<std::size_t>(in));
        expand_field_row(seed, static_cast<std::uint64_t>(first + row), values);
        x.insert(x.end(), values.begin(), values.end());
      }
      for (std::size_t i = 0; i < found.size(); ++i) {
        const auto expected = reference(x, rows, call.weights[static_cast<int>(i)], call.layer);
        ASSERT_EQ(std::memcmp(found[i].data(), expected.data(), found[i].size()), 0)
            << describe(call) << ", " << rows << " rows from " << first;
      }
    }
  }
}

TEST_P(RingProductsTest, AWorkerHasTheProductsItWasStartedWith) {
  const auto code = [&](ProductKinds products, const Call& call) {
    const auto on = backend(products);
    EXPECT_EQ(on->products(), products);
    const std::vector<std::byte> input(static_cast<std::size_t>(call.inputs[0].bytes()));
    try {
      (void)run(*on, call, input.data());
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("--products"), std::string::npos) << error.what();
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  const Call ring = products(config_, 1).front();
  Call plain = testing::legal_calls(config_, 1, DType::kF32)[10].call;
  ASSERT_EQ(plain.op, Op::kGatedMlp);
  EXPECT_EQ(code(ProductKinds::kPlain, ring), ErrorCode::kUnsupported);
  EXPECT_EQ(code(ProductKinds::kRing, plain), ErrorCode::kUnsupported);
  EXPECT_EQ(code(ProductKinds::kAll, ring), ErrorCode::kInternal);  // none was thrown
  EXPECT_EQ(code(ProductKinds::kAll, plain), ErrorCode::kInternal);
}

TEST_P(RingProductsTest, ForTheRingAloneAModelTakesOneByteAWeight) {
  const auto on = backend(ProductKinds::kRing);
  std::int64_t most = 0;
  const auto add = [&](const ConstTensor& tensor) {
    const Shape& shape = tensor.spec.shape;
    most += (shape[0] + 15) / 16 * 16 * ((shape[1] + 63) / 64 * 64 + 4);
    EXPECT_EQ(weights_.releases().at(tensor.data), 1);
  };
  add(weights_.tensor(Weight::kLmHead, kNoLayer));
  for (int layer = 0; layer < config_.layers; ++layer) {
    for (const Weight weight : layer_matrices()) add(weights_.tensor(weight, layer));
  }
  EXPECT_EQ(on->weight_bytes(), most);
}

}  // namespace
}  // namespace airlock::ring_products_test
