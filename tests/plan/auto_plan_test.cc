#include "airlock/plan/auto_plan.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/plan/worker_sees.h"

#include "tests/support/plans.h"

namespace airlock::auto_plan_test {
namespace {
using ::testing::HasSubstr;

const ModelConfig& llama_1b() {
  static const ModelConfig config = config_of("llama-3.2-1b");
  return config;
}

AutoRequest request(std::vector<std::string> must_not_see = {}) {
  AutoRequest r;
  r.prompt = 1024;
  r.rates.send_rate = r.rates.receive_rate = 162e6;
  r.rates.rtt_ms = 0.1;
  r.must_not_see = std::move(must_not_see);
  return r;
}

Error error_of(const AutoRequest& r) {
  try {
    choose_plan(llama_1b(), r);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorCode::kInternal, ""};
}

TEST(ChoosePlan, TakesBlocksWhereNothingIsForbidden) {
  const PlanChoice choice = choose_plan(llama_1b(), request());
  EXPECT_EQ(choice.plan.name, "blocks");
  EXPECT_EQ(choice.traffic, predict_traffic(llama_1b(), find_plan("blocks"), 1024, 0));
  ASSERT_EQ(choice.why.size(), 2U);
  EXPECT_THAT(choice.why[0], HasSubstr("next best"));
}

TEST(ChoosePlan, NoCandidateIsFasterThanTheChoice) {
  for (const std::vector<std::string>& hidden :
       std::vector<std::vector<std::string>>{{}, {"prompt"}, {"scores"}, {"prompt", "logits"}}) {
    const PlanChoice choice = choose_plan(llama_1b(), request(hidden));
    for (const Plan& preset : testing::plain_plans()) {
      Plan plan = preset;
      plan.embedding = choice.plan.embedding;
      plan.lm_head = choice.plan.lm_head;
      const std::vector<std::string> seen = worker_sees(plan);
      const bool allowed = std::none_of(hidden.begin(), hidden.end(), [&](const std::string& word) {
        return std::find(seen.begin(), seen.end(), word) != seen.end();
      });
      if (!allowed) continue;
      const Stages stages = plan_stages(llama_1b(), plan, 1024, 0, request().rates).sum();
      EXPECT_LE(choice.wall_ms, stages.one_after_the_other()) << plan.name;
    }
  }
}

TEST(ChoosePlan, TheWorkerSeesNothingThatWasForbidden) {
  for (const std::vector<std::string>& hidden : std::vector<std::vector<std::string>>{
           {"prompt"}, {"logits"}, {"scores"}, {"prompt", "scores", "logits"}}) {
    const PlanChoice choice = choose_plan(llama_1b(), request(hidden));
    const std::vector<std::string> seen = worker_sees(choice.plan);
    for (const std::string& word : hidden)
      EXPECT_THAT(seen, ::testing::Not(::testing::Contains(word)));
  }
  EXPECT_EQ(choose_plan(llama_1b(), request({"prompt", "logits"})).plan.name,
            "blocks+runner-embedding+runner-lm-head");
}

TEST(ChoosePlan, EmbeddingAndLmHeadStayWithTheWorkerUnlessTheyMustNot) {
  const Plan plan = choose_plan(llama_1b(), request({"scores"})).plan;
  EXPECT_EQ(plan.embedding, Side::kWorker);
  EXPECT_EQ(plan.lm_head, Side::kWorker);
  EXPECT_EQ(plan.attention, Attention::kRunner);
}

TEST(ChoosePlan, KnobsThatAreFixedAreNotVaried) {
  AutoRequest r = request();
  r.fixed.wire_dtype = DType::kF32;
  r.fixed.mlp = Mlp::kSplit;
  const Plan plan = choose_plan(llama_1b(), r).plan;
  EXPECT_EQ(plan.wire_dtype, DType::kF32);
  EXPECT_EQ(plan.mlp, Mlp::kSplit);
}

TEST(ChoosePlan, ASlowRunnerGetsNoWorkThatCanBeAvoided) {
  AutoRequest r = request();
  r.fixed.attention.reset();
  r.rates.send_rate = r.rates.receive_rate = 1e15;
  r.rates.rtt_ms = 0;
  r.rates.worker = {{1, 1e15}};
  r.rates.runner_flops = 1e6;
  EXPECT_NE(choose_plan(llama_1b(), r).plan.attention, Attention::kRunner);
}

TEST(ChoosePlan, OnlyPadsHideActivations) {
  for (const char* word : {"hidden", "qkv", "mlp"}) {
    const PlanChoice choice = choose_plan(llama_1b(), request({word, "prompt"}));
    EXPECT_EQ(choice.plan.name, "private");
    EXPECT_THAT(choice.why[1], HasSubstr("it sees nothing"));
    AutoRequest checked = request({word});
    checked.fixed.verify = true;
    EXPECT_EQ(choose_plan(llama_1b(), checked).plan.name, "sealed");
  }
}

TEST(ChoosePlan, PadsThatTakeTimeCountForTheRunner) {
  AutoRequest r = request({"hidden"});
  const double free = choose_plan(llama_1b(), r).wall_ms;
  r.rates.pad_values = 1e9;
  // (14336 inputs + 23552 outputs) a row and layer, and those of the LM head's one row.
  const double values = 1024.0 * 16 * (14336 + 23552) + 2048 + 128256;
  EXPECT_NEAR(choose_plan(llama_1b(), r).wall_ms - free, values / 1e9 * 1e3, 1e-3);
}

TEST(ChoosePlan, AFixedKnobThatShowsWhatIsForbiddenIsNamed) {
  AutoRequest r = request({"prompt"});
  r.fixed.embedding = Side::kWorker;
  EXPECT_THAT(error_of(r).what(), HasSubstr("the knobs that are set show the worker prompt"));
  r = request({"hidden"});
  r.fixed.attention = Attention::kFlash;
  EXPECT_THAT(error_of(r).what(), HasSubstr("the knobs that are set show the worker hidden"));
}

TEST(ChoosePlan, WithoutABandwidthTheFewestBytesWin) {
  AutoRequest r = request();
  r.rates = {};
  const PlanChoice choice = choose_plan(llama_1b(), r);
  EXPECT_EQ(choice.plan.name, "blocks");
  EXPECT_THAT(choice.why[0], HasSubstr("fewest bytes"));
}

TEST(ParseMustNotSee, KnowsTheWordsAndSuggests) {
  EXPECT_EQ(parse_must_not_see("prompt,logits,prompt"),
            (std::vector<std::string>{"prompt", "logits"}));
  for (const char* text : {"promt", "", "prompt,", ","}) {
    EXPECT_THROW(parse_must_not_see(text), Error) << text;
  }
  try {
    parse_must_not_see("promt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean `prompt`"));
  }
}

AutoRequest live_request(double bytes_per_second) {
  AutoRequest r = request();
  HostRates rates;
  rates.worker = {{1, 1e10}, {64, 9e10}, {256, 1e11}};
  rates.runner_flops = 5e10;
  rates.runner_bytes = 1e10;
  rates.send_rate = rates.receive_rate = bytes_per_second;
  rates.rtt_ms = 0.1;
  r.rates = rates;
  r.most_lanes = 16;
  return r;
}

TEST(ChoosePlanLive, NoScheduleOfTheSameSpaceIsFasterByMoreThanItsMargin) {
  for (const double rate : {20e6, 162e6, 2e9}) {
    const AutoRequest r = live_request(rate);
    const PlanChoice choice = choose_plan(llama_1b(), r);
    EXPECT_GT(choice.wall_ms, 0);
    for (const Plan& preset : preset_plans()) {
      for (const std::int64_t chunk : {0, 64, 128, 256, 512}) {
        Plan plan = preset;
        plan.chunk = chunk;
        const PlanStages stages = plan_stages(llama_1b(), plan, 1024, 0, r.rates);
        for (const int lanes : {1, 2, 4, 8, 16}) {
          EXPECT_LE(choice.wall_ms, wall_ms(stages, lanes, false) * 1.05)
              << choice.plan.name << " against " << plan.name << " at " << rate;
        }
      }
    }
  }
}

TEST(ChoosePlanLive, HidesASlowLinkBehindChunksAndLeavesAFastOneWhole) {
  const PlanChoice slow = choose_plan(llama_1b(), live_request(20e6));
  EXPECT_GT(slow.plan.chunk, 0);
  EXPECT_GT(slow.lanes, 1);
  EXPECT_THAT(slow.why[0], HasSubstr("under way"));
  AutoRequest fast = live_request(1e12);
  fast.rates.rtt_ms = 0.001;
  fast.rates.same_cores = true;
  EXPECT_EQ(choose_plan(llama_1b(), fast).plan.chunk, 0);
  EXPECT_EQ(choose_plan(llama_1b(), fast).lanes, 1);
}

TEST(ChoosePlanLive, KeepsToWhatIsFixedAndForbidden) {
  AutoRequest r = live_request(20e6);
  r.must_not_see = {"scores", "prompt"};
  r.fixed.chunk = 128;
  r.most_lanes = 2;
  const PlanChoice choice = choose_plan(llama_1b(), r);
  EXPECT_EQ(choice.plan.attention, Attention::kRunner);
  EXPECT_EQ(choice.plan.embedding, Side::kRunner);
  EXPECT_EQ(choice.plan.chunk, 128);
  EXPECT_LE(choice.lanes, 2);
}

}  // namespace
}  // namespace airlock::auto_plan_test
