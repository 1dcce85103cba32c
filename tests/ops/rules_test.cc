#include "airlock/ops/rules.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/small_model.h"

namespace airlock::rules_test {
namespace {

using testing::small_config;

constexpr std::int64_t k31 = std::int64_t{1} << 31;
constexpr std::int64_t k32 = std::int64_t{1} << 32;
constexpr std::int64_t k63 = std::numeric_limits<std::int64_t>::max();

TEST(InferOutputs, GivesTheOutputsOfEveryLegalCall) {
  const ModelConfig config = small_config();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    for (const std::int64_t tokens : {1, 7, 59}) {
      for (const auto& [call, outputs] : testing::legal_calls(config, tokens, dtype)) {
        EXPECT_EQ(infer_outputs(config, call), outputs) << describe(call);
      }
    }
  }
}

TEST(InferOutputs, TheReplyTravelsInTheDtypeTheCallAsksFor) {
  const ModelConfig config = small_config();
  for (auto [call, outputs] : testing::legal_calls(config, 2, DType::kF32)) {
    call.reply_dtype = DType::kI8;
    for (const TensorSpec& output : infer_outputs(config, call)) {
      EXPECT_EQ(output.dtype, DType::kI8);
    }
  }
}

TEST(InferOutputs, TheContextMayBeFilledToItsLastToken) {
  const ModelConfig config = small_config();
  for (auto [call, outputs] : testing::legal_calls(config, 4, DType::kF32)) {
    if (!is_attention(call.op)) continue;
    call.ranges[0].position = config.max_position - 4;
    if (call.op == Op::kFusedAttention) {
      for (const int i : {1, 2}) call.inputs[i].shape = {config.max_position, config.q_dim()};
    }
    EXPECT_NO_THROW(infer_outputs(config, call)) << describe(call);
    ++call.ranges[0].position;
    EXPECT_THROW(infer_outputs(config, call), Error) << describe(call);
  }
}

/// Expects a protocol error that begins with the operator's name; says what was done to the call.
void expect_refused(const ModelConfig& config, const Call& call, const std::string& what) {
  try {
    infer_outputs(config, call);
    ADD_FAILURE() << describe(call) << " was accepted: " << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << what << ": " << error.what();
    EXPECT_EQ(std::string(error.what()).rfind(op_name(call.op), 0), 0U)
        << what << ": " << error.what();
  }
}

struct Damage {
  const char* what;
  std::function<void(Call&)> apply;
};

TEST(InferOutputs, RefusesWhatIsWrongForEveryOperator) {
  const ModelConfig config = small_config();
  std::vector<Damage> damages = {
      {"no tensors", [](Call& c) { c.inputs = {}; }},
      {"a tensor too many or too few",
       [](Call& c) {
         TensorSpecs inputs = c.inputs;
         if (inputs.size() == kMaxTensors) {
           inputs = {inputs[0], inputs[1]};
         } else {
           inputs.push_back(inputs[0]);
         }
         c.inputs = inputs;
       }},
      {"ids where floats belong or the reverse",
       [](Call& c) { c.inputs[0].dtype = c.op == Op::kEmbedding ? DType::kF32 : DType::kI64; }},
      {"an unknown dtype", [](Call& c) { c.inputs[0].dtype = static_cast<DType>(77); }},
      {"the last tensor has an unknown dtype",
       [](Call& c) { c.inputs[c.inputs.size() - 1].dtype = static_cast<DType>(255); }},
      {"the last tensor is of ids or of floats",
       [](Call& c) {
         c.inputs[c.inputs.size() - 1].dtype = c.op == Op::kEmbedding ? DType::kI8 : DType::kI64;
       }},
      {"a reply of ids", [](Call& c) { c.reply_dtype = DType::kI64; }},
      {"an unknown reply dtype", [](Call& c) { c.reply_dtype = static_cast<DType>(5); }},
      {"the layer behind the last", [](Call& c) { c.layer = c.layer >= 0 ? 2 : 0; }},
      {"layer -2", [](Call& c) { c.layer = -2; }},
      {"the largest layer", [](Call& c) { c.layer = std::numeric_limits<int>::max(); }},
      {"the smallest layer", [](Call& c) { c.layer = std::numeric_limits<int>::min(); }},
      {"no ranges, or one where none belongs",
       [](Call& c) {
         c.ranges = c.ranges.empty() ? RowRanges{{0, 3, 0}} : RowRanges{};
       }},
  };
  for (const int rank : {0, 1, 2, 3, 4}) {
    damages.push_back({"another rank", [rank](Call& c) {
                         const int own = c.inputs[0].shape.rank();
                         const std::vector<std::int64_t> dims(
                             static_cast<std::size_t>(rank == own ? 4 : rank), 3);
                         c.inputs[0].shape = Shape(dims);
                       }});
  }
  // Every dimension of every tensor, at every value that could slip through or overflow. What one
  // value cannot spoil (a length of ids, or of a matrix product) is told apart by `legal`.
  for (const auto& legal : testing::legal_calls(config, 3, DType::kF32)) {
    for (const Damage& damage : damages) {
      Call call = legal.call;
      damage.apply(call);
      expect_refused(config, call, damage.what);
    }
    for (int i = 0; i < legal.call.inputs.size(); ++i) {
      const Shape& shape = legal.call.inputs[i].shape;
      for (int axis = 0; axis < shape.rank(); ++axis) {
        for (const std::int64_t value :
             {std::int64_t{0}, kMaxRanges * config.max_position + 1, k31 - 1, k31, k32, k63}) {
          std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
          dims[static_cast<std::size_t>(axis)] = value;
          Call call = legal.call;
          call.inputs[i].shape = Shape(dims);
          expect_refused(config, call, fmt::format("tensor {} of shape {}", i, Shape(dims)));
        }
      }
    }
  }
}

TEST(InferOutputs, RefusesWidthsThatAreOneOff) {
  const ModelConfig config = small_config();
  for (const auto& legal : testing::legal_calls(config, 3, DType::kF32)) {
    for (int i = 0; i < legal.call.inputs.size(); ++i) {
      const Shape& shape = legal.call.inputs[i].shape;
      // The rows of the first tensor say how many tokens there are; others follow from the model.
      for (int axis = 0; axis < shape.rank(); ++axis) {
        const bool free = (i == 0 && axis == 0 && legal.call.inputs.size() == 1 &&
                           !is_attention(legal.call.op)) ||
                          (legal.call.op == Op::kMatmul && axis > 0 &&
                           (i == 0 ? axis == 1 : axis == (legal.call.transpose_b ? 1 : 2)));
        if (free) continue;
        for (const std::int64_t off : {-1, 1}) {
          std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
          dims[static_cast<std::size_t>(axis)] += off;
          Call call = legal.call;
          call.inputs[i].shape = Shape(dims);
          expect_refused(config, call, fmt::format("tensor {} of shape {}", i, Shape(dims)));
        }
      }
    }
  }
}

TEST(InferOutputs, RefusesAttributesThatBelongToOtherOperators) {
  const ModelConfig config = small_config();
  for (const auto& legal : testing::legal_calls(config, 3, DType::kF32)) {
    Call call = legal.call;
    if (call.op != Op::kMatmul) {
      call.transpose_b = true;
      expect_refused(config, call, "a transposed operand");
      call.transpose_b = false;
    }
    if (call.op != Op::kBatchLinear) {
      call.weights = {Weight::kQ};
      expect_refused(config, call, "weights");
    } else {
      call.weights = {};
      expect_refused(config, call, "no weights");
      call.weights = {static_cast<Weight>(7)};
      expect_refused(config, call, "an unknown weight");
      call.weights = {static_cast<Weight>(255)};
      expect_refused(config, call, "an unknown weight");
    }
  }
}

/// FlashAttention and AttentionBlock of `ranges`, with tensors of `rows` rows.
std::vector<Call> batched_calls(const RowRanges& ranges, std::int64_t rows) {
  std::vector<Call> calls;
  for (auto [call, outputs] : testing::legal_calls(small_config(), rows, DType::kF32)) {
    if (call.op != Op::kFlashAttention && call.op != Op::kAttentionBlock) continue;
    call.ranges = ranges;
    calls.push_back(call);
  }
  return calls;
}

TEST(InferOutputs, ABatchMayHoldManySequencesEachToItsContextsEnd) {
  RowRanges ranges;
  for (std::uint32_t i = 0; i < kMaxRanges; ++i) ranges.push_back({~i, 2, 62});
  for (const Call& call : batched_calls(ranges, 2 * kMaxRanges)) {
    EXPECT_EQ(infer_outputs(small_config(), call)[0].shape[0], 2 * kMaxRanges) << describe(call);
  }
  for (const Call& call : batched_calls({{1, 1, 63}, {0, 64, 0}, {3, 60, 4}}, 125)) {
    EXPECT_NO_THROW(infer_outputs(small_config(), call)) << describe(call);
  }
}

TEST(InferOutputs, RowsOfEverybodyMayPassOneContext) {
  const ModelConfig config = small_config();
  const std::int64_t most = kMaxRanges * config.max_position;
  for (auto [call, outputs] : testing::legal_calls(config, 1, DType::kF32)) {
    if (is_attention(call.op) || call.op == Op::kMatmul) continue;
    const auto of_rows = [&](std::int64_t rows) {
      std::vector<std::int64_t> dims(call.inputs[0].shape.dims().begin(),
                                     call.inputs[0].shape.dims().end());
      dims[0] = rows;
      call.inputs[0].shape = Shape(dims);
      return call;
    };
    EXPECT_EQ(infer_outputs(config, of_rows(most))[0].shape[0], most) << describe(call);
    expect_refused(config, of_rows(most + 1), "a row more than sequences have");
  }
}

TEST(InferOutputs, RefusesRangesThatAreNotItsRows) {
  constexpr std::int32_t kMostTokens = std::numeric_limits<std::int32_t>::max();
  const std::pair<const char*, RowRanges> wrong[] = {
      {"none", {}},
      {"a negative position", {{0, 3, -1}}},
      {"the smallest position", {{0, 3, -k63 - 1}}},
      {"a position past the context", {{0, 3, 64}}},
      {"a last token past the context", {{0, 3, 62}}},
      {"position 2^32", {{0, 3, k32}}},
      {"the largest position", {{0, 3, k63}}},
      {"no tokens", {{0, 0, 0}}},
      {"a row too few", {{0, 2, 0}}},
      {"a row too many", {{0, 4, 0}}},
      {"a sequence twice", {{5, 1, 0}, {6, 1, 0}, {5, 1, 1}}},
      {"two that have a row too few", {{0, 1, 0}, {1, 1, 0}}},
      {"two that have a row too many", {{0, 1, 0}, {1, 3, 0}}},
      {"one of no rows", {{0, 3, 0}, {1, 0, 0}}},
      {"one of negative rows", {{0, 4, 0}, {1, -1, 0}}},
      {"one of the fewest rows", {{0, 3, 0}, {1, -kMostTokens - 1, 0}}},
      {"rows that pass 32 bits", {{0, kMostTokens, 0}, {1, kMostTokens, 0}, {2, 5, 0}}},
      {"a second past the context", {{0, 1, 0}, {1, 2, 63}}},
  };
  for (const auto& [what, ranges] : wrong) {
    for (const Call& call : batched_calls(ranges, 3)) expect_refused(small_config(), call, what);
  }
}

TEST(InferOutputs, FusedAttentionIsOfOneSequenceThatNobodyKeeps) {
  Call call = testing::legal_calls(small_config(), 3, DType::kF32)[7].call;
  ASSERT_EQ(call.op, Op::kFusedAttention);
  ASSERT_NO_THROW(infer_outputs(small_config(), call));
  call.ranges[0].sequence = 1;
  expect_refused(small_config(), call, "another sequence");
  call.ranges = {{0, 1, 5}, {1, 2, 5}};
  expect_refused(small_config(), call, "two sequences");
  for (const std::int64_t position : {std::int64_t{-1}, std::int64_t{4}, std::int64_t{6}, k32}) {
    call.ranges = {{0, 3, position}};
    expect_refused(small_config(), call, "a position that its keys do not have");
  }
}

TEST(InferOutputs, RefusesWeightsOfDifferentWidthsInOneCall) {
  const ModelConfig config = small_config();
  Call call = testing::legal_calls(config, 3, DType::kF32)[1].call;
  call.weights = {Weight::kQ, Weight::kO};
  expect_refused(config, call, "q and o take different inputs");
}

TEST(InferOutputs, RefusesWhatIsNoOperator) {
  Call call = testing::legal_calls(small_config(), 3, DType::kF32)[0].call;
  for (const unsigned op : {0U, 9U, 200U, 255U}) {
    call.op = static_cast<Op>(op);
    expect_refused(small_config(), call, "no operator");
  }
}

}  // namespace
}  // namespace airlock::rules_test
