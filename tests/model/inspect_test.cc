#include "airlock/model/inspect.h"

#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/model/synth.h"

#include "tests/model/support.h"

namespace airlock::inspect_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;

TEST(Inspect, CountsWhatTheModelUsesAndWhatItDoesNot) {
  const ModelConfig config = testing::least_config();
  auto tensors = testing::raw_tensors(config);
  const std::size_t used = tensors.size();
  tensors.push_back({"unused", "U8", {3}, "xyz"});
  testing::find_raw(tensors, "model.norm.weight") = {
      "model.norm.weight", "F32", {4}, std::string(16, '\0')};
  const TempDir dir;
  testing::write_checkpoint(dir.path(), config, tensors);
  const CheckpointSummary summary = inspect(*Checkpoint::open(dir.path()));
  EXPECT_EQ(summary.tensors, static_cast<std::int64_t>(used));
  EXPECT_EQ(summary.other_tensors, 1);
  EXPECT_EQ(summary.parameters, config.parameters());
  EXPECT_EQ(summary.bytes, config.parameters() * 2 + 4 * 2);
  EXPECT_EQ(summary.tensors_by_dtype.at(DType::kF32), 1);
  EXPECT_EQ(summary.tensors_by_dtype.at(DType::kBF16), static_cast<std::int64_t>(used) - 1);
  EXPECT_FALSE(summary.fingerprint.has_value());
  EXPECT_THAT(to_text(summary), HasSubstr("1 unused"));
  EXPECT_THAT(to_text(summary), HasSubstr("warning       " + dir.path().string() + ": 1 tensors"));
  EXPECT_EQ(nlohmann::json::parse(to_json(summary))["warnings"].size(), 1U);
  EXPECT_THAT(to_text(summary), Not(HasSubstr("fingerprint")));
  EXPECT_TRUE(nlohmann::json::parse(to_json(summary))["fingerprint"].is_null());
}

TEST(Inspect, SaysTheSameInTextAndJson) {
  const ModelConfig config = *find_preset("tiny");
  const TempDir dir;
  synthesize(config, dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  const CheckpointSummary summary = inspect(*checkpoint, {.fingerprint = true});
  const std::string hex = to_hex(compute_fingerprint(*checkpoint));
  const std::string text = to_text(summary);
  EXPECT_THAT(text, HasSubstr("fingerprint   " + hex));
  EXPECT_THAT(text, HasSubstr("4 heads, 2 key/value heads, head_dim 16"));
  EXPECT_THAT(text, HasSubstr("512, tied embeddings"));
  EXPECT_THAT(text,
              HasSubstr("theta 500000, llama3 scaling factor 8 (low 1, high 4, original 256)"));
  const auto json = nlohmann::json::parse(to_json(summary));
  EXPECT_EQ(json["fingerprint"], hex);
  EXPECT_EQ(json["parameters"], config.parameters());
  EXPECT_EQ(json["tensors_by_dtype"]["bf16"], 20);
  EXPECT_EQ(json["files"][0]["name"], "model.safetensors");
  EXPECT_EQ(json["rope_scaling"]["original_max_position"], 256);
}

}  // namespace
}  // namespace airlock::inspect_test
