#include "airlock/worker/row_slices.h"

#include <cstdint>
#include <set>

#include <gtest/gtest.h>

#include "airlock/ops/rules.h"

#include "tests/support/small_model.h"

namespace airlock::row_slices_test {
namespace {

using testing::legal_calls;
using testing::small_config;

TEST(RowSlices, AreOfTheProductsWithWeights) {
  const std::set<Op> products = {Op::kBatchLinear, Op::kGatedMlp, Op::kLmHead};
  for (const auto& legal : legal_calls(small_config(), 7, DType::kBF16)) {
    EXPECT_EQ(rows_apart(legal.call), products.contains(legal.call.op) ? 7 : 0)
        << describe(legal.call);
  }
}

TEST(RowSlices, AreNoneWhereScalesLieBehindAllRows) {
  for (const auto& legal : legal_calls(small_config(), 7, DType::kI8)) {
    EXPECT_EQ(rows_apart(legal.call), 0) << describe(legal.call);
  }
  Call call = legal_calls(small_config(), 7, DType::kF32)[10].call;
  call.reply_dtype = DType::kI8;
  EXPECT_EQ(rows_apart(call), 0);
}

TEST(RowSlices, AreLegalCallsOnTheRowsTheyName) {
  const ModelConfig config = small_config();
  std::byte memory[1];  // addresses are reckoned, nothing is read
  for (const auto& legal : legal_calls(config, 300, DType::kF32)) {
    if (rows_apart(legal.call) == 0) continue;
    std::vector<ConstTensor> inputs;
    std::vector<Tensor> outputs;
    for (const TensorSpec& spec : legal.call.inputs) inputs.push_back({spec, memory});
    for (const TensorSpec& spec : legal.outputs) outputs.push_back({spec, memory});
    RowSlice slice;
    cut_rows(legal.call, inputs, outputs, 128, 5, slice);
    const TensorSpecs given = infer_outputs(config, slice.call);
    for (int i = 0; i < given.size(); ++i) {
      const Tensor& output = slice.outputs[static_cast<std::size_t>(i)];
      EXPECT_EQ(output.spec, given[i]);
      EXPECT_EQ(output.data - memory, 128 * 4 * given[i].shape[1]);
    }
    EXPECT_EQ(slice.inputs[0].spec, slice.call.inputs[0]);
    EXPECT_EQ(slice.inputs[0].data - memory, 128 * 4 * slice.call.inputs[0].shape[1]);
  }
}

TEST(RowSlices, OfAPadProductAreRowsOfTheSameMatrix) {
  Call call;
  call.op = Op::kPadProduct;
  call.layer = 1;
  call.weights = {Weight::kGate, Weight::kUp};
  call.ranges = {{0, 200, 1000}};
  call.reply_dtype = DType::kRing;
  call.inputs = {{DType::kI64, {4}}};
  ASSERT_EQ(rows_apart(call), 200);
  std::byte memory[1];
  const ConstTensor seed = {call.inputs[0], memory};
  const TensorSpecs specs = infer_outputs(small_config(), call);
  const std::array outputs = {Tensor{specs[0], memory}, Tensor{specs[1], memory}};
  RowSlice slice;
  cut_rows(call, {&seed, 1}, outputs, 64, 30, slice);
  EXPECT_EQ(slice.call.ranges[0], (RowRange{0, 30, 1064}));
  EXPECT_EQ(slice.inputs[0].data, memory);
  EXPECT_EQ(slice.outputs[1].data - memory, 64 * 4 * specs[1].shape[1]);
  EXPECT_EQ(infer_outputs(small_config(), slice.call)[1], slice.outputs[1].spec);
}

}  // namespace
}  // namespace airlock::row_slices_test
