#include "airlock/engine/finite_logits.h"

#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::finite_logits_test {
namespace {

using ::testing::HasSubstr;

TEST(FiniteLogits, AreRequiredOfEveryElementAndMissingOnesAreExplained) {
  Plan plan = find_plan("baseline");
  std::vector<float> logits(100, -3e38F);
  require_finite(logits, plan);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{99}}) {
      std::vector<float> row = logits;
      row[at] = bad;
      for (const DType wire : {DType::kF32, DType::kF16}) {
        plan.wire_dtype = wire;
        try {
          require_finite(row, plan);
          ADD_FAILURE() << bad << " was accepted";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kProtocol);
          EXPECT_THAT(error.what(), HasSubstr("logits of 1 of 1 positions are not finite: "));
          EXPECT_EQ(
              std::string_view(error.what()).find("overflow an f16 wire") != std::string_view::npos,
              wire == DType::kF16);
        }
      }
    }
  }
  EXPECT_THAT(not_finite_text(3, 8, plan), HasSubstr("logits of 3 of 8 positions"));
}

}  // namespace
}  // namespace airlock::finite_logits_test
