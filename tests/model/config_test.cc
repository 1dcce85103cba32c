#include "airlock/model/config.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/support.h"

namespace airlock::config_test {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;
using testing::write_file;
using Json = nlohmann::json;

/// Llama 3.2 1B's published config.json, without what does not matter here.
Json llama_3_2() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256})");
}

/// Llama 2 7B's published config.json: no head_dim, no rope_theta, rope_scaling null.
Json llama_2() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
    "pretraining_tp": 2, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true,
    "vocab_size": 32000})");
}

ModelConfig parse(const Json& json) {
  return parse_config(json.dump(), "config.json");
}

TEST(ParseConfig, ReadsLlama32AsPublished) {
  ModelConfig expected = *find_preset("llama-3.2-1b");
  expected.eos = {128001, 128008, 128009};
  EXPECT_EQ(parse(llama_3_2()), expected);
}

TEST(ParseConfig, ReadsLlama2AsPublished) {
  const ModelConfig config = parse(llama_2());
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.kv_heads, 32);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_FALSE(config.rope_scaling.has_value());
  EXPECT_FALSE(config.tie_embeddings);
  EXPECT_EQ(config.dtype, DType::kF16);
  EXPECT_THAT(config.eos, ElementsAre(2));
  EXPECT_EQ(config.parameters(), 6738415616);
}

TEST(ParseConfig, ReadsTheLayoutOfTransformers5Alike) {
  Json json = llama_3_2();
  json["rope_parameters"] = json["rope_scaling"];
  json["rope_parameters"]["rope_theta"] = json["rope_theta"];
  json["dtype"] = json["torch_dtype"];
  for (const char* old : {"rope_scaling", "rope_theta", "torch_dtype"}) json.erase(old);
  EXPECT_EQ(parse(json), parse(llama_3_2()));
}

struct Change {
  const char* what;
  std::function<void(Json&)> apply;
  std::function<bool(const ModelConfig&)> holds;
};

TEST(ParseConfig, UnderstandsEveryWayAFieldIsWritten) {
  const std::vector<Change> changes = {
      {"eos null", [](Json& j) { j["eos_token_id"] = nullptr; },
       [](const ModelConfig& c) { return c.eos.empty(); }},
      {"bos absent", [](Json& j) { j.erase("bos_token_id"); },
       [](const ModelConfig& c) { return !c.bos; }},
      {"no num_key_value_heads", [](Json& j) { j.erase("num_key_value_heads"); },
       [](const ModelConfig& c) { return c.kv_heads == 32; }},
      {"head_dim null", [](Json& j) { j["head_dim"] = nullptr; },
       [](const ModelConfig& c) { return c.head_dim == 64; }},
      {"head_dim not hidden/heads", [](Json& j) { j["head_dim"] = 80; },
       [](const ModelConfig& c) { return c.head_dim == 80 && c.q_dim() == 2560; }},
      {"type instead of rope_type",
       [](Json& j) {
         j["rope_scaling"].erase("rope_type");
         j["rope_scaling"]["type"] = "llama3";
       },
       [](const ModelConfig& c) { return c.rope_scaling && c.rope_scaling->factor == 32; }},
      {"rope_scaling default",
       [](Json& j) {
         j["rope_scaling"] = {{"rope_type", "default"}};
       },
       [](const ModelConfig& c) { return !c.rope_scaling; }},
      {"rope_parameters default",
       [](Json& j) {
         j.erase("rope_scaling");
         j["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7e4}};
       },
       [](const ModelConfig& c) { return !c.rope_scaling && c.rope_theta == 7e4; }},
      {"whole theta", [](Json& j) { j["rope_theta"] = 1000000; },
       [](const ModelConfig& c) { return c.rope_theta == 1e6; }},
      {"dtype absent", [](Json& j) { j.erase("torch_dtype"); },
       [](const ModelConfig& c) { return c.dtype == DType::kF32; }},
      {"tie absent", [](Json& j) { j.erase("tie_word_embeddings"); },
       [](const ModelConfig& c) { return !c.tie_embeddings; }},
      {"pretraining_tp", [](Json& j) { j["pretraining_tp"] = 4; },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"swish",  // another name of silu
       [](Json& j) { j["hidden_act"] = "swish"; },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"dtype auto", [](Json& j) { j["torch_dtype"] = "auto"; },
       [](const ModelConfig& c) { return c.dtype == DType::kF32; }},
      {"ids outside the vocabulary",
       [](Json& j) {
         j["eos_token_id"] = {128009, 128256, -1};
         j["bos_token_id"] = 999999;
       },
       [](const ModelConfig& c) {
         return c.eos == std::vector<std::int64_t>{128009, 128256, -1} && c.bos == 999999;
       }},
      {"theta inside rope_scaling counts before the one beside it",
       [](Json& j) { j["rope_scaling"]["rope_theta"] = 7e4; },
       [](const ModelConfig& c) { return c.rope_theta == 7e4 && c.rope_scaling; }},
      {"theta inside rope_scaling of type default",
       [](Json& j) {
         j["rope_scaling"] = {{"rope_type", "default"}, {"rope_theta", 7e4}};
       },
       [](const ModelConfig& c) { return c.rope_theta == 7e4 && !c.rope_scaling; }},
      {"theta alone inside rope_scaling",
       [](Json& j) {
         j["rope_scaling"] = {{"rope_theta", 7e4}};
       },
       [](const ModelConfig& c) { return c.rope_theta == 7e4 && !c.rope_scaling; }},
      {"rope_scaling counts before rope_parameters",
       [](Json& j) {
         j["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7e4}};
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"an empty rope_scaling does not",
       [](Json& j) {
         j["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7e4}};
         j["rope_scaling"] = Json::object();
       },
       [](const ModelConfig& c) { return c.rope_theta == 7e4 && !c.rope_scaling; }},
      {"original_max_position_embeddings beside rope_scaling",
       [](Json& j) {
         j["rope_scaling"].erase("original_max_position_embeddings");
         j["original_max_position_embeddings"] = 8192;
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"no original_max_position_embeddings: the whole context",
       [](Json& j) { j["rope_scaling"].erase("original_max_position_embeddings"); },
       [](const ModelConfig& c) { return c.rope_scaling->original_max_position == 131072; }},
      {"partial_rotary_factor of everything",
       [](Json& j) { j["partial_rotary_factor"] = j["rope_scaling"]["partial_rotary_factor"] = 1; },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"sliding_window that nothing slides in",
       [](Json& j) {
         j["sliding_window"] = 4096;
         j["use_sliding_window"] = false;
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"sliding_window of the whole context", [](Json& j) { j["sliding_window"] = 131072; },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"sliding_window beside layers of full attention",
       [](Json& j) {
         j["sliding_window"] = 4096;
         j["layer_types"] = std::vector<std::string>(16, "full_attention");
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"a sliding_window ends the context", [](Json& j) { j["sliding_window"] = 4096; },
       [](const ModelConfig& c) { return c.max_position == 4096; }},
      {"fields of other families that do nothing",
       [](Json& j) {
         j["logits_scaling"] = 1.0;
         j["num_local_experts"] = 0;
         j["qk_norm"] = false;
         j["pruned_heads"] = Json::object();
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
      {"unknown fields",
       [](Json& j) {
         j["nobody_knows"] = {{"a", {1, 2}}};
       },
       [](const ModelConfig& c) { return c == parse(llama_3_2()); }},
  };
  for (const Change& change : changes) {
    SCOPED_TRACE(change.what);
    Json json = llama_3_2();
    change.apply(json);
    EXPECT_TRUE(change.holds(parse(json)));
  }
}

struct Refusal {
  std::function<void(Json&)> apply;
  ErrorCode code;
  const char* says;
};

TEST(ParseConfig, RefusesWhatItCannotRunAndNamesTheField) {
  const auto set = [](const char* field, const Json& value) {
    return [=](Json& j) { j[field] = value; };
  };
  const auto erase = [](const char* field) { return [=](Json& j) { j.erase(field); }; };
  const auto scaling = [](const char* field, const Json& value) {
    return [=](Json& j) { j["rope_scaling"][field] = value; };
  };
  const ErrorCode unsupported = ErrorCode::kUnsupported;
  const ErrorCode corrupt = ErrorCode::kCorruptFile;
  const std::vector<Refusal> refusals = {
      {set("model_type", "mistral"), unsupported, "model_type is mistral"},
      {set("hidden_act", "gelu"), unsupported, "hidden_act is gelu"},
      {set("attention_bias", true), unsupported, "attention_bias"},
      {set("mlp_bias", true), unsupported, "mlp_bias"},
      {set("sliding_window", 0), corrupt, "sliding_window is 0"},
      {set("layer_types", {"full_attention", "chunked_attention"}), unsupported,
       R"(layer_types is ["full_attention","chunked_attention"])"},
      {set("layer_types", {"sliding_attention"}), corrupt, "has no sliding_window"},
      {set("partial_rotary_factor", 0.5), unsupported, "partial_rotary_factor is 0.5"},
      {set("logits_scaling", 8.0), unsupported, "logits_scaling is 8.0"},
      {set("attention_multiplier", 1.0), unsupported, "attention_multiplier is 1.0"},
      {set("final_logit_softcapping", 30.0), unsupported, "final_logit_softcapping"},
      {set("qk_norm", true), unsupported, "qk_norm is true"},
      {set("no_rope_layers", {1, 0}), unsupported, "no_rope_layers is [1,0]"},
      {set("original_max_position_embeddings", 4096), unsupported,
       "original_max_position_embeddings is 4096"},
      {scaling("attention_factor", 2.0), unsupported, "rope_scaling.attention_factor is 2.0"},
      {set("rope_scaling", {{"rope_type", "default"}, {"factor", 2.0}}), unsupported,
       "rope_scaling.factor is 2.0"},
      {set("quantization_config", Json::object()), unsupported, "quantization_config"},
      {set("torch_dtype", "float64"), unsupported, "torch_dtype is float64"},
      {set("dtype", "float8"), unsupported, "dtype is float8"},
      {scaling("rope_type", "linear"), unsupported, "rope_scaling.rope_type is linear"},
      {scaling("rope_type", "dynamic"), unsupported, "dynamic"},
      {scaling("rope_type", "yarn"), unsupported, "yarn"},
      {scaling("partial_rotary_factor", 0.5), unsupported, "partial_rotary_factor"},
      {[](Json& j) {
         j.erase("rope_scaling");
         j["rope_parameters"] = {{"rope_type", "yarn"}};
       },
       unsupported, "rope_parameters.rope_type"},
      {erase("model_type"), corrupt, "has no model_type"},
      {erase("hidden_size"), corrupt, "has no hidden_size"},
      {erase("num_hidden_layers"), corrupt, "has no num_hidden_layers"},
      {erase("vocab_size"), corrupt, "has no vocab_size"},
      {set("hidden_size", 0), corrupt, "hidden_size is 0"},
      {set("hidden_size", -2048), corrupt, "hidden_size is -2048"},
      {set("hidden_size", "2048"), corrupt, "hidden_size is of type string"},
      {set("hidden_size", 2048.5), corrupt, "hidden_size is of type number"},
      {set("hidden_size", std::uint64_t{1} << 63), corrupt, "hidden_size is past 2^62"},
      {set("intermediate_size", std::int64_t{1} << 31), corrupt, "intermediate_size is 2147483648"},
      {set("num_hidden_layers", 70000), corrupt, "num_hidden_layers is 70000"},
      {set("num_attention_heads", 0), corrupt, "num_attention_heads is 0"},
      {set("num_key_value_heads", 5), corrupt, "num_key_value_heads 5 does not divide"},
      {set("head_dim", 63), corrupt, "head_dim is 63, expected an even number"},
      {set("head_dim", 1 << 28), corrupt, "width past"},
      {set("intermediate_size", 2147483647), corrupt, ""},
      {set("rms_norm_eps", 0), corrupt, "rms_norm_eps is 0"},
      {set("rope_theta", -1.0), corrupt, "rope_theta is -1"},
      {scaling("factor", nullptr), corrupt, "has no rope_scaling.factor"},
      {scaling("factor", 0), corrupt, "rope_scaling.factor is 0"},
      {scaling("low_freq_factor", 4.0), corrupt, "low_freq_factor 4 is not below"},
      {scaling("original_max_position_embeddings", 0), corrupt, "original_max_position_embeddings"},
      {[](Json& j) { j["rope_scaling"].erase("rope_type"); }, corrupt, "rope_scaling.rope_type"},
      {set("rope_scaling", 7), corrupt, "rope_scaling is of type number"},
      {set("eos_token_id", {1, "x"}), corrupt, "eos_token_id is of type string"},
      {set("tie_word_embeddings", 1), corrupt, "tie_word_embeddings is of type number"},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.says);
    Json json = llama_3_2();
    if (std::string_view(refusal.says).empty()) json["num_hidden_layers"] = 65536;
    refusal.apply(json);
    const auto [code, message] = error_of([&] { (void)parse(json); });
    EXPECT_EQ(code, refusal.code) << message;
    EXPECT_THAT(message, HasSubstr(refusal.says));
    EXPECT_THAT(message, HasSubstr("config.json: "));
  }
}

TEST(ParseConfig, RefusesHeadsThatDoNotDivideHiddenWhenHeadDimIsAbsent) {
  Json json = llama_2();
  json["num_attention_heads"] = json["num_key_value_heads"] = 33;
  const auto [code, message] = error_of([&] { (void)parse(json); });
  EXPECT_EQ(code, ErrorCode::kCorruptFile);
  EXPECT_THAT(message, HasSubstr("33 does not divide hidden_size 4096"));
}

TEST(ParseConfig, RefusesTextThatIsNotAConfig) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"a\": \"\xff\"}"),
        std::string("{} {}"), deep, "{\"model_type\": " + deep + "}"}) {
    const auto [code, message] = error_of([&] { (void)parse_config(text, "config.json"); });
    EXPECT_EQ(code, ErrorCode::kCorruptFile) << message;
    EXPECT_THAT(message, HasSubstr("config.json: "));
  }
}

TEST(ConfigToJson, IsReadBackAsTheSameConfig) {
  for (const std::string_view name : preset_names()) {
    ModelConfig config = *find_preset(name);
    EXPECT_EQ(parse_config(config_to_json(config), "preset"), config) << name;
    config.rope_scaling.reset();
    config.eos = {3, 1};
    config.bos.reset();
    config.dtype = DType::kF32;
    config.rms_norm_eps = 0.1 + 0.2;
    EXPECT_EQ(parse_config(config_to_json(config), "preset"), config) << name;
    config.eos.clear();
    EXPECT_EQ(parse_config(config_to_json(config), "preset"), config) << name;
  }
}

TEST(LoadConfig, TakesEosFromGenerationConfigWhereThatHasIt) {
  const TempDir dir;
  write_file(dir / "config.json", llama_3_2().dump());
  EXPECT_THAT(load_config(dir.path()).eos, ElementsAre(128001, 128008, 128009));
  write_file(dir / "generation_config.json", R"({"temperature": 0.6})");
  EXPECT_THAT(load_config(dir.path()).eos, ElementsAre(128001, 128008, 128009));
  write_file(dir / "generation_config.json", R"({"eos_token_id": 9})");
  EXPECT_THAT(load_config(dir.path()).eos, ElementsAre(9));
  write_file(dir / "generation_config.json", R"({"eos_token_id": [9, 10]})");
  EXPECT_THAT(load_config(dir.path()).eos, ElementsAre(9, 10));
  write_file(dir / "generation_config.json", R"({"eos_token_id": 999999})");
  EXPECT_THAT(load_config(dir.path()).eos, ElementsAre(999999));
}

TEST(ParseConfig, WarnsOfWhatItIgnoresAndOfAContextThatAWindowEnds) {
  std::vector<std::string> warnings = {"of before"};
  (void)parse_config(llama_3_2().dump(), "config.json", &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  (void)parse_config(llama_2().dump(), "config.json", &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  Json json = llama_3_2();
  json["nobody_knows"] = 1;
  json["nor\x1b[2Jthis"] = 2;
  json["not_even_null"] = nullptr;
  json["sliding_window"] = 4096;
  (void)parse_config(json.dump(), "config.json", &warnings);
  EXPECT_THAT(warnings,
              ElementsAre("config.json: fields that Airlock does not know and ignores: "
                          "nobody_knows, nor?[2Jthis",
                          HasSubstr("config.json: sliding_window is 4096: contexts end there")));
}

TEST(LoadConfig, SaysWhatIsMissing) {
  const TempDir dir;
  const auto no_folder = error_of([&] { (void)load_config(dir / "absent"); });
  EXPECT_EQ(no_folder.first, ErrorCode::kNotFound);
  EXPECT_THAT(no_folder.second, HasSubstr("absent: no such folder"));
  const auto no_file = error_of([&] { (void)load_config(dir.path()); });
  EXPECT_EQ(no_file.first, ErrorCode::kNotFound);
  EXPECT_THAT(no_file.second, HasSubstr("config.json"));
  write_file(dir / "file", "x");
  const auto is_file = error_of([&] { (void)load_config(dir / "file"); });
  EXPECT_EQ(is_file.first, ErrorCode::kIo);
  EXPECT_THAT(is_file.second, HasSubstr("file: is not a folder"));
  std::filesystem::create_directory(dir / "config.json");
  EXPECT_EQ(error_of([&] { (void)load_config(dir.path()); }).first, ErrorCode::kCorruptFile);
  std::filesystem::remove(dir / "config.json");
  write_file(dir / "config.json", std::string(2 << 20, ' '));
  EXPECT_THAT(error_of([&] { (void)load_config(dir.path()); }).second,
              HasSubstr("expected at most"));
}

}  // namespace
}  // namespace airlock::config_test
