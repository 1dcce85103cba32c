#include "airlock/plan/predict.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::predict_test {
namespace {

ModelConfig llama_3_2_1b() {
  return *find_preset("llama-3.2-1b");
}

struct Row {
  std::string_view plan;
  std::int64_t calls, sent, received;
};

// The table of section 2 of the design: a 1024-token prefill of LLaMA 3.2-1B.
constexpr Row kTable[] = {
    {"baseline", 98, 3489677312, 3834106880}, {"bf16", 98, 1744842752, 1917053440},
    {"fused", 82, 1342193664, 1686623232},    {"flash", 82, 1140867072, 1686623232},
    {"combined", 82, 570437632, 843311616},   {"runner-attention", 66, 469774336, 776202752},
    {"blocks", 34, 134230016, 138668544},     {"private", 65, 939532288, 772008448},
    {"verified", 65, 469766144, 1544016896},  {"sealed", 65, 939532288, 1544016896},
};

TEST(PredictTraffic, EqualsThePublishedTableToTheByte) {
  ASSERT_EQ(preset_plans().size(), std::size(kTable));
  for (const Row& row : kTable) {
    const Traffic traffic = predict_traffic(llama_3_2_1b(), find_plan(row.plan), 1024, 0);
    EXPECT_EQ(traffic.calls(), row.calls) << row.plan;
    EXPECT_EQ(traffic.sent_bytes(), row.sent) << row.plan;
    EXPECT_EQ(traffic.received_bytes(), row.received) << row.plan;
  }
}

TEST(PredictTraffic, TokenIdsAndLogitsStayWhenTheRunnerHoldsThoseMatrices) {
  Plan plan = find_plan("baseline");
  plan.embedding = Side::kRunner;
  plan.lm_head = Side::kRunner;
  const Traffic traffic = predict_traffic(llama_3_2_1b(), plan, 1024, 0);
  EXPECT_EQ(traffic.calls(), 96);
  EXPECT_EQ(traffic.total_bytes(), 16 * (436LL << 20));
}

TEST(PredictTraffic, AFlashDecodeStepSendsOnlyNewRows) {
  const Traffic one = predict_traffic(llama_3_2_1b(), find_plan("flash"), 1024, 1);
  const Traffic two = predict_traffic(llama_3_2_1b(), find_plan("flash"), 1024, 2);
  const std::int64_t per_layer_sent = (2048 + (2048 + 512 + 512) + 2048 + 2048 + 8192) * 4;
  EXPECT_EQ(two.sent_bytes() - one.sent_bytes(), 16 * per_layer_sent + 8 + 2048 * 4);
}

TEST(PredictTraffic, RefusesZeroTokensAndTokensPastTheContext) {
  const Plan plan = find_plan("baseline");
  EXPECT_THROW(predict_traffic(llama_3_2_1b(), plan, 0, 0), Error);
  EXPECT_THROW(predict_traffic(llama_3_2_1b(), plan, 131073, 0), Error);
  EXPECT_THROW(predict_traffic(llama_3_2_1b(), plan, 131072, 2), Error);
  EXPECT_NO_THROW(predict_traffic(llama_3_2_1b(), plan, 131072, 1));
}

TEST(Plans, AnUnknownNameSuggestsTheNearest) {
  try {
    find_plan("flsh");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean `flash`"), std::string::npos);
  }
}

}  // namespace
}  // namespace airlock::predict_test
