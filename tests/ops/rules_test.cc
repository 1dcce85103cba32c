#include "airlock/ops/rules.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/small_model.h"

namespace airlock {
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
  for (const std::size_t index : {7U, 8U, 9U}) {  // the operators that have a position
    Call call = testing::legal_calls(config, 4, DType::kF32)[index].call;
    call.position = config.max_position - 4;
    if (call.op == Op::kFusedAttention) {
      for (const int i : {1, 2}) call.inputs[i].shape = {config.max_position, config.q_dim()};
    }
    EXPECT_NO_THROW(infer_outputs(config, call)) << describe(call);
    ++call.position;
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
      {"a negative position", [](Call& c) { c.position = -1; }},
      {"the smallest position", [](Call& c) { c.position = -k63 - 1; }},
      {"a position past the context", [](Call& c) { c.position = 64; }},
      {"position 2^32", [](Call& c) { c.position = k32; }},
      {"the largest position", [](Call& c) { c.position = k63; }},
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
             {std::int64_t{0}, std::int64_t{65}, k31 - 1, k31, k32, k63}) {
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
        const bool free = (i == 0 && axis == 0 && legal.call.inputs.size() == 1) ||
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
    const bool has_position = call.op == Op::kFusedAttention || call.op == Op::kFlashAttention ||
                              call.op == Op::kAttentionBlock;
    if (!has_position) {
      call = legal.call;
      call.position = 1;
      expect_refused(config, call, "a position");
    }
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
}  // namespace airlock
