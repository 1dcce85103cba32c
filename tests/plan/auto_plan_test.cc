#include "airlock/plan/auto_plan.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using ::testing::HasSubstr;

ModelConfig llama_1b() {
  ModelConfig config;
  config.layers = 16;
  config.hidden = 2048;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.ffn = 8192;
  config.vocab = 128256;
  config.max_position = 131072;
  return config;
}

AutoRequest request(std::vector<std::string> must_not_see = {}) {
  AutoRequest r;
  r.prompt = 1024;
  r.link = {162e6, 0.1};
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
    for (const Plan& preset : preset_plans()) {
      Plan plan = preset;
      plan.embedding = choice.plan.embedding;
      plan.lm_head = choice.plan.lm_head;
      const std::vector<std::string> seen = worker_sees(plan);
      const bool allowed = std::none_of(hidden.begin(), hidden.end(), [&](const std::string& word) {
        return std::find(seen.begin(), seen.end(), word) != seen.end();
      });
      if (!allowed) continue;
      const Traffic traffic = predict_traffic(llama_1b(), plan, 1024, 0);
      EXPECT_LE(choice.time.total_ms(), estimate(traffic, request().link).total_ms()) << plan.name;
    }
  }
}

TEST(ChoosePlan, TheWorkerSeesNothingThatWasForbidden) {
  for (const std::vector<std::string>& hidden : std::vector<std::vector<std::string>>{
           {"prompt"}, {"logits"}, {"scores"}, {"prompt", "scores", "logits"}}) {
    const PlanChoice choice = choose_plan(llama_1b(), request(hidden));
    const std::vector<std::string> seen = worker_sees(choice.plan);
    for (const std::string& word : hidden) EXPECT_THAT(seen, testing::Not(testing::Contains(word)));
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
  r.link = {1e15, 0};
  r.rates = {1e15, 1e6};
  EXPECT_NE(choose_plan(llama_1b(), r).plan.attention, Attention::kRunner);
}

TEST(ChoosePlan, WhatNoPlanCanHideIsNamed) {
  for (const char* word : {"hidden", "qkv", "mlp"}) {
    const Error error = error_of(request({word, "prompt"}));
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr(std::string("no plan keeps ") + word));
  }
}

TEST(ChoosePlan, AFixedKnobThatShowsWhatIsForbiddenIsNamed) {
  AutoRequest r = request({"prompt"});
  r.fixed.embedding = Side::kWorker;
  EXPECT_THAT(error_of(r).what(), HasSubstr("the knobs that are set show the worker prompt"));
}

TEST(ChoosePlan, WithoutABandwidthTheFewestBytesWin) {
  AutoRequest r = request();
  r.link = {};
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

}  // namespace
}  // namespace airlock
