#include "airlock/ops/call_cost.h"

#include <gtest/gtest.h>

#include "tests/support/small_model.h"

namespace airlock::call_cost_test {
namespace {

using testing::legal_calls;
using testing::small_config;

TEST(CallCost, OfProductsIsTwoOperationsAnElementAndRow) {
  const ModelConfig config = small_config();
  for (const std::int64_t rows : {16, 100}) {
    const auto calls = legal_calls(config, rows, DType::kF32);
    const auto elements = static_cast<double>(3 * config.hidden * config.ffn);
    EXPECT_EQ(call_cost(config, calls[10].call), 2 * elements * static_cast<double>(rows));
    EXPECT_EQ(call_cost(config, calls[11].call),
              static_cast<double>(2 * config.hidden * config.vocab * rows));
  }
}

TEST(CallCost, OfFewRowsIsThatOfReadingTheWeights) {
  const ModelConfig config = small_config();
  for (const std::size_t product : {1U, 2U, 3U, 4U, 10U, 11U}) {
    const double one = call_cost(config, legal_calls(config, 1, DType::kF32)[product].call);
    EXPECT_EQ(one, call_cost(config, legal_calls(config, 16, DType::kF32)[product].call));
    EXPECT_EQ(2 * one, call_cost(config, legal_calls(config, 32, DType::kF32)[product].call));
  }
}

TEST(CallCost, OfAttentionGrowsWithTheContext) {
  const ModelConfig config = small_config();
  Call call = legal_calls(config, 4, DType::kF32)[8].call;
  EXPECT_EQ(call_cost(config, call), static_cast<double>(4 * config.q_dim() * 4 * 4));
  call.ranges = {{0, 1, 9}, {1, 3, 20}};
  EXPECT_EQ(call_cost(config, call), static_cast<double>(4 * config.q_dim() * (10 + 3 * 23)));
}

TEST(CallCost, OfAPadProductIsThatOfItsRows) {
  const ModelConfig config = small_config();
  Call call;
  call.op = Op::kPadProduct;
  call.layer = 0;
  call.weights = {Weight::kDown};
  call.ranges = {{0, 100, 7}};
  call.inputs = {{DType::kI64, {4}}};
  EXPECT_EQ(call_cost(config, call), static_cast<double>(2 * config.hidden * config.ffn * 100));
}

TEST(CallCost, OfEveryOperatorIsAtLeastOne) {
  const ModelConfig config = small_config();
  for (const auto& legal : legal_calls(config, 1, DType::kF32)) {
    EXPECT_GE(call_cost(config, legal.call), 1) << describe(legal.call);
  }
}

}  // namespace
}  // namespace airlock::call_cost_test
