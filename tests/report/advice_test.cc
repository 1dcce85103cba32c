#include "airlock/report/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/report/text.h"

#include "tests/report/fake_ledger.h"

namespace airlock::advice_test {
namespace {
using ::testing::HasSubstr;

std::vector<Advice> advice_for(const char* plan, std::int64_t prompt, std::int64_t generated = 1) {
  return make_report("a", headed(llama_1b(), find_plan(plan), prompt, generated)).advice;
}

const Advice* find(const std::vector<Advice>& advice, const std::string& flags) {
  for (const Advice& a : advice) {
    if (a.flags == flags) return &a;
  }
  return nullptr;
}

TEST(Advise, BaselineHearsThatItsScoresAreMostOfTheBytes) {
  const auto advice = advice_for("baseline", 1024);
  const Advice* flash = find(advice, "--attention flash");
  ASSERT_NE(flash, nullptr);
  EXPECT_EQ(flash->calls, 82);
  EXPECT_EQ(flash->bytes, 1140867072LL + 1686623232LL);
  // 2 * 16 layers * 32 heads * 1024^2 scores * 4 bytes of 7323784192: 58.6 %.
  EXPECT_THAT(flash->text, HasSubstr("Matmul calls are 66 % of the bytes, scores alone 59 %: "
                                     "`--attention flash` would send 61.4 % less, 2696.505 MiB in "
                                     "82 calls"));
}

TEST(Advise, EveryFigureIsThePredictorsAndAnImprovement) {
  for (const Plan& plan : preset_plans()) {
    const Ledger ledger = headed(llama_1b(), plan, 512, 3);
    const std::int64_t now = summarize(ledger.entries).all.bytes();
    for (const Advice& a : make_report("a", ledger).advice) {
      if (a.flags.empty()) continue;
      EXPECT_LT(a.bytes, now) << plan.name << ": " << a.text;
      EXPECT_THAT(a.text, HasSubstr(a.flags));
    }
  }
}

TEST(Advise, TheBestPresetComesLastAndIsItsOwnPrediction) {
  const auto advice = advice_for("baseline", 1024);
  const Advice* blocks = find(advice, "--plan blocks");
  ASSERT_NE(blocks, nullptr);
  EXPECT_EQ(blocks->bytes, 134230016LL + 138668544LL);
  EXPECT_EQ(blocks->calls, 34);
}

TEST(Advise, BlocksHasNothingLeftToCut) {
  for (const Advice& a : advice_for("blocks", 1024)) EXPECT_EQ(a.flags, "") << a.text;
}

TEST(Advise, AFastLinkHearsThatFewerBytesHelpLittle) {
  Ledger ledger = headed(odd_model(), find_plan("flash"), 64);
  for (LedgerEntry& e : ledger.entries) {
    e.worker_ms = e.total_ms * 0.96;
    e.encode_ms = e.send_ms = e.receive_ms = e.decode_ms = e.total_ms * 0.01;
  }
  const auto advice = make_report("a", ledger).advice;
  EXPECT_THAT(advice.back().text, HasSubstr("fewer bytes can save that"));
}

TEST(Advise, ManySmallCallsHearThatTheirNumberWeighsMore) {
  const auto advice = make_report("a", headed(odd_model(), find_plan("flash"), 2, 50)).advice;
  EXPECT_THAT(advice.back().text, HasSubstr("the number of calls weighs more"));
}

TEST(Advise, OfCallsThatSayNoPlanOrAreNotThatPlansOnlyTheTimesSpeak) {
  const auto calls = fake_ledger(llama_1b(), find_plan("baseline"), 16);
  for (const Advice& a : make_report("a", Ledger{{}, calls}).advice) EXPECT_EQ(a.flags, "");
  auto changed = headed(llama_1b(), find_plan("baseline"), calls);
  changed.entries[2].sent_bytes += 1;
  for (const Advice& a : make_report("a", changed).advice) EXPECT_EQ(a.flags, "");
  EXPECT_TRUE(advise(summarize({}), nullptr).empty());
}

}  // namespace
}  // namespace airlock::advice_test
