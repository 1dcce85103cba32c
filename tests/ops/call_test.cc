#include "airlock/ops/call.h"

#include <limits>

#include <gtest/gtest.h>

namespace airlock::call_test {
namespace {

TEST(Call, IsNamedWithItsWeightsAndLayer) {
  Call call;
  call.op = Op::kBatchLinear;
  call.layer = 3;
  call.weights = {Weight::kQ, Weight::kK, Weight::kV};
  EXPECT_EQ(describe(call), "BatchLinear(q,k,v) of layer 3");
  EXPECT_EQ(fmt::format("{}", call), "BatchLinear(q,k,v) of layer 3");
  Call bare;
  bare.op = Op::kLmHead;
  EXPECT_EQ(describe(bare), "LMHead");
}

TEST(Call, ValuesOutsideTheEnumerationsAreUnknown) {
  EXPECT_FALSE(is_op(kOpCount));
  EXPECT_EQ(op_name(static_cast<Op>(200)), "unknown");
}

TEST(InlineList, RefusesOneEntryTooMany) {
  Weights weights = {Weight::kQ, Weight::kQ, Weight::kQ};
  EXPECT_THROW(weights.push_back(Weight::kQ), Error);
  EXPECT_EQ(weights.size(), 3);
}

TEST(TotalBytes, AddsTensorsAndRefusesOverflow) {
  EXPECT_EQ(total_bytes({}), 0);
  EXPECT_EQ(total_bytes({{DType::kF32, {2, 3}}, {DType::kI8, {2, 3}}}), 24 + 6 + 8);
  const TensorSpec half{DType::kBF16, {1LL << 31, 1LL << 30}};
  EXPECT_THROW(total_bytes({half, half, half}), Error);
}

}  // namespace
}  // namespace airlock::call_test
