#include "airlock/worker/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/worker/backend_reference.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing::backend_test {
namespace {

INSTANTIATE_TEST_SUITE_P(Every, BackendTest, ::testing::ValuesIn(backend_cases()),
                         backend_case_name);

/// Runs `body(dtype that comes, dtype that leaves, name)` for every pair.
template <typename Body>
void for_each_wire(const Body& body) {
  for (const DType in : wire_dtypes()) {
    for (const DType out : wire_dtypes()) {
      body(in, out, std::string(dtype_name(in)) + " to " + std::string(dtype_name(out)));
    }
  }
}

TEST_P(BackendTest, EmbeddingGathersRowsOfTheTable) {
  const std::vector<std::int64_t> ids = {102, 0, 7, 7, 101, 1, 50};
  for (const DType stored : {DType::kF32, DType::kBF16, DType::kF16}) {
    use(odd_config(), stored);
    const Bounded table(weights_->tensor(Weight::kEmbedding));
    Bounded rows(static_cast<std::int64_t>(ids.size()), table.columns);
    for (std::int64_t row = 0; row < rows.rows; ++row) {
      for (std::int64_t i = 0; i < rows.columns; ++i) {
        rows.value[rows.at(row, i)] = table.value[table.at(ids[static_cast<std::size_t>(row)], i)];
      }
    }
    for (const DType reply : wire_dtypes()) {
      const Call call = make_call(Op::kEmbedding, -1, reply);
      expect_within(run(call, {OwnedTensor(ids)})[0], rows, std::string(dtype_name(reply)));
    }
  }
}

TEST_P(BackendTest, IdsOutsideTheVocabularyAreRefusedByNameAndLimit) {
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{103}, INT64_MAX, INT64_MIN}) {
    try {
      run(make_call(Op::kEmbedding, -1, DType::kF32), {OwnedTensor({5, id, 9})});
      FAIL() << "id " << id << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr(std::to_string(id)));
      EXPECT_THAT(error.what(), ::testing::HasSubstr("102"));
    }
  }
}

TEST_P(BackendTest, BatchLinearMultipliesAnyLegalListOfWeights) {
  const std::vector<Weights> lists = {{Weight::kQ, Weight::kK, Weight::kV},
                                      {Weight::kQ},
                                      {Weight::kK, Weight::kV},
                                      {Weight::kV, Weight::kGate, Weight::kV},
                                      {Weight::kGate, Weight::kUp},
                                      {Weight::kO},
                                      {Weight::kDown}};
  for (const DType stored : {DType::kF32, DType::kBF16, DType::kF16}) {
    use(odd_config(), stored);
    for (const Weights& list : lists) {
      const std::int64_t in = weight_shape(config(), list[0])[1];
      for_each_wire([&](DType wire, DType reply, const std::string& name) {
        const OwnedTensor x = random(wire, {5, in});
        const auto outputs = run(linear_call(1, list, reply), {x});
        ASSERT_EQ(outputs.size(), static_cast<std::size_t>(list.size()));
        for (int i = 0; i < list.size(); ++i) {
          const Bounded w(weights_->tensor(list[i], 1));
          expect_within(outputs[static_cast<std::size_t>(i)], product(Bounded(x), w, compute()),
                        name + " " + std::string(weight_name(list[i])), slack());
        }
      });
    }
  }
}

TEST_P(BackendTest, EveryNumberOfTokensGivesTheSameRows) {
  // Packed weights serve all of them, and kernels differ by the rows left over.
  const Bounded w(weights_->tensor(Weight::kDown, 0));
  std::vector<std::int64_t> counts = {1024, 127, 1};
  for (std::int64_t tokens = 1; tokens <= 40; ++tokens) counts.push_back(tokens);
  const OwnedTensor all = random(DType::kF32, {1024, config().ffn});
  const Bounded expected = product(Bounded(all), w, compute());
  for (const std::int64_t tokens : counts) {
    const TensorSpec spec{DType::kF32, {tokens, config().ffn}};
    const OwnedTensor x(DType::kF32, spec.shape, decode({spec, all.tensor().data}));
    Bounded part(tokens, expected.columns);
    std::copy_n(expected.value.begin(), part.value.size(), part.value.begin());
    std::copy_n(expected.error.begin(), part.error.size(), part.error.begin());
    expect_within(run(linear_call(0, {Weight::kDown}, DType::kF32), {x})[0], part,
                  std::to_string(tokens) + " tokens", slack());
  }
}

TEST_P(BackendTest, LmHeadMultipliesTheHeadTiedOrNot) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    const Bounded w(weights_->tensor(Weight::kLmHead));
    for_each_wire([&](DType wire, DType reply, const std::string& name) {
      const OwnedTensor x = random(wire, {3, config().hidden});
      const Call call = make_call(Op::kLmHead, -1, reply);
      expect_within(run(call, {x})[0], product(Bounded(x), w, compute()), name, slack());
    });
  }
}

/// Widths whose bf16 products oneDNN 2.6 gets wrong on AMX (kernels/safe_terms.h) where rows or
/// outputs fill no block.
TEST_P(BackendTest, WidthsWithARestOf31AreMultipliedRight) {
  ModelConfig model = odd_config();
  model.hidden = 63;
  model.ffn = 95;
  use(model, DType::kBF16);
  const auto w = [&](Weight weight) { return Bounded(weights_->tensor(weight, 0)); };
  for (const std::int64_t tokens : {1, 36, 67, 101}) {
    const std::string name = std::to_string(tokens) + " tokens";
    const OwnedTensor x = random(DType::kF32, {tokens, config().hidden});
    const OwnedTensor y = random(DType::kF32, {tokens, config().ffn});
    expect_within(run(linear_call(0, {Weight::kGate}, DType::kF32), {x})[0],
                  product(Bounded(x), w(Weight::kGate), compute()), name, slack());
    expect_within(run(linear_call(0, {Weight::kDown}, DType::kF32), {y})[0],
                  product(Bounded(y), w(Weight::kDown), compute()), name, slack());
    expect_within(run(make_call(Op::kLmHead, -1, DType::kF32), {x})[0],
                  product(Bounded(x), Bounded(weights_->tensor(Weight::kLmHead)), compute()), name,
                  slack());
  }
}

struct MatmulCase {
  std::int64_t m, k, n;
};

TEST_P(BackendTest, MatmulMultipliesBatchesWithEitherOperandOrder) {
  const MatmulCase cases[] = {{7, 14, 33}, {1, 14, 1},  {1, 14, 77}, {1, 77, 14},
                              {33, 5, 14}, {40, 1, 40}, {1, 63, 80}, {67, 95, 14}};
  const std::int64_t heads = config().heads;
  for (const auto& [m, k, n] : cases) {
    for (const bool transpose : {false, true}) {
      for_each_wire([&](DType wire, DType reply, const std::string& name) {
        const OwnedTensor a = random(wire, {heads, m, k});
        const OwnedTensor b = random(wire, transpose ? Shape{heads, n, k} : Shape{heads, k, n});
        Bounded expected;
        const Bounded left = transposed(Bounded(a));
        const Bounded right(b);
        const std::int64_t b_rows = transpose ? n : k;
        for (std::int64_t head = 0; head < heads; ++head) {
          const Bounded a_head = transposed(columns_of(left, head * m, m));
          const Bounded b_head = transposed(columns_of(transposed(right), head * b_rows, b_rows));
          const Bounded y = product(a_head, transpose ? b_head : transposed(b_head), activations());
          expected = stacked(expected, y);
        }
        Call call = make_call(Op::kMatmul, 0, reply);
        call.transpose_b = transpose;
        expect_within(run(call, {a, b})[0], expected,
                      fmt::format("{} {}x{}x{} transposed {}", name, m, k, n, transpose));
      });
    }
  }
}

TEST_P(BackendTest, GatedMlpEqualsItsSteps) {
  const auto w = [&](Weight weight) { return Bounded(weights_->tensor(weight, 1)); };
  for_each_wire([&](DType wire, DType reply, const std::string& name) {
    const OwnedTensor x = random(wire, {9, config().hidden});
    const Bounded in(x, true);
    const Bounded gate = rounded(product(in, w(Weight::kGate), compute()), activations());
    const Bounded up = rounded(product(in, w(Weight::kUp), compute()), activations());
    const Bounded expected = product(activation(silu_mul(gate, up)), w(Weight::kDown), compute());
    const Call call = make_call(Op::kGatedMlp, 1, reply);
    expect_within(run(call, {x})[0], expected, name, slack(0.3));
  });
}

TEST_P(BackendTest, EachWeightIsReleasedByEachPassThatPacksItElseReadWhereItLies) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    std::int64_t expected = 0;
    std::int64_t most = 0;
    const auto count = [&](ConstTensor tensor) {
      const auto found = weights_->releases().find(tensor.data);
      const int released = found != weights_->releases().end() ? found->second : 0;
      const int packed = released - (has_ring(backend_->products()) ? 1 : 0);
      ASSERT_TRUE(packed == 0 || packed == 1) << packed;
      if (packed == 0) {
        expected += tensor.bytes();
        most += tensor.bytes();
        return;
      }
      const Shape& shape = tensor.spec.shape;
      const auto element = static_cast<std::int64_t>(dtype_size(compute()));
      const std::int64_t scales = compute() == DType::kI8 ? shape[0] * 4 : 0;
      expected += shape.elements() * element + scales;
      // Blocks of at most 64 outputs by 64 inputs.
      most += (shape[0] + 63) / 64 * 64 * ((shape[1] + 63) / 64 * 64) * element + scales;
    };
    const auto count_ring = [&](ConstTensor tensor) {
      if (!has_ring(backend_->products())) return;
      const Shape& shape = tensor.spec.shape;
      expected += shape.elements();
      // Panels of 16 outputs, inputs in blocks of 64, and a sum of each output.
      most += (shape[0] + 15) / 16 * 16 * ((shape[1] + 63) / 64 * 64 + 4);
    };
    count(weights_->tensor(Weight::kLmHead));
    count_ring(weights_->tensor(Weight::kLmHead));
    for (int layer = 0; layer < model.layers; ++layer) {
      for (const Weight weight : layer_matrices()) {
        count(weights_->tensor(weight, layer));
        count_ring(weights_->tensor(weight, layer));
      }
    }
    EXPECT_GE(backend_->weight_bytes(), expected);
    EXPECT_LE(backend_->weight_bytes(), most);
  }
}

TEST_P(BackendTest, SteadyStateLeavesNoMoreBuffersBehind) {
  const auto every_call = [&] {
    const ModelConfig& c = config();
    for (const DType wire : wire_dtypes()) {
      const OwnedTensor x = random(wire, {17, c.hidden});
      const OwnedTensor q = random(wire, {17, c.q_dim()});
      const OwnedTensor k = random(wire, {17, c.kv_dim()});
      const OwnedTensor heads = random(wire, {c.heads, 17, c.head_dim});
      const OwnedTensor transposed_heads = random(wire, {c.heads, c.head_dim, 17});
      run(make_call(Op::kGatedMlp, 0, wire), {x});
      run(make_call(Op::kAttentionBlock, 0, wire), {x});
      run(linear_call(0, {Weight::kQ, Weight::kK, Weight::kV}, wire), {x});
      run(make_call(Op::kFlashAttention, 0, wire), {q, k, k});
      run(make_call(Op::kFusedAttention, 0, wire), {q, q, q});
      run(make_call(Op::kMatmul, 0, wire), {heads, transposed_heads});
      run(make_call(Op::kLmHead, -1, wire), {x});
      run(make_call(Op::kEmbedding, -1, wire), {OwnedTensor({1, 2, 3})});
    }
  };
  every_call();
  const std::size_t in_use = pool_.bytes_in_use();
  const std::size_t idle = pool_.bytes_idle();
  every_call();
  EXPECT_EQ(pool_.bytes_in_use(), in_use);
  EXPECT_EQ(pool_.bytes_idle(), idle);
}

}  // namespace
}  // namespace airlock::testing::backend_test
