#include "airlock/model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/config_fields.h"
#include "airlock/model/config_unknown.h"
#include "airlock/model/input_file.h"
#include "airlock/model/tensor_table.h"

namespace airlock {
namespace {

using Json = nlohmann::json;
using Fields = ConfigFields;

constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();

constexpr std::array kSilu = {"silu", "swish"};  // two names of one function

void refuse_foreign(const Fields& fields) {
  const std::string type = fields.need("model_type", fields.text("model_type"));
  if (type != "llama") fields.unsupported("model_type", type, "llama");
  const std::string activation = fields.text("hidden_act").value_or("silu");
  if (std::ranges::find(kSilu, activation) == kSilu.end()) {
    fields.unsupported("hidden_act", activation, "silu (also called swish)");
  }
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (fields.boolean(bias).value_or(false)) fields.unsupported(bias, "true", "models without");
  }
  if (fields.find("quantization_config") != nullptr) {
    fields.unsupported("quantization_config", "set", "checkpoints in f32, f16 or bf16");
  }
}

/// Whether layers attend to a window only, by layer_types, or else by there being a window.
bool has_window(const Fields& fields) {
  const Json* types = fields.find("layer_types");
  if (types == nullptr) {
    return fields.find("sliding_window") != nullptr &&
           fields.boolean("use_sliding_window").value_or(true);
  }
  bool sliding = false;
  for (const Json& type : *types) {
    const bool is_sliding = type == "sliding_attention";
    if (!is_sliding && type != "full_attention") {
      fields.unsupported("layer_types", fields.shown("layer_types"), "full_attention");
    }
    sliding |= is_sliding;
  }
  return sliding;
}

/// Within a window's width, sliding attention is full attention: contexts end there. Past it
/// transformers itself is of two minds: its Llama attends to everything in one pass, and to the
/// window's keys alone with its cache.
void read_window(const Fields& fields, ModelConfig& config, std::vector<std::string>& warnings,
                 std::string_view where) {
  if (!has_window(fields)) return;
  const std::int64_t window = fields.need("sliding_window", fields.integer("sliding_window"));
  require(window > 0, ErrorCode::kCorruptFile, "{}: sliding_window is {}, expected 1 or more",
          where, window);
  if (window >= config.max_position) return;
  config.max_position = window;
  warnings.push_back(
      fmt::format("{}: sliding_window is {}: contexts end there, where attention would stop to be "
                  "full",
                  where, window));
}

void refuse_partial(const Fields& fields) {
  if (fields.number("partial_rotary_factor").value_or(1.0) == 1.0) return;
  fields.unsupported("partial_rotary_factor", fields.shown("partial_rotary_factor"),
                     "RoPE over whole heads (1.0)");
}

/// Fields of a rope object that its type does not have would be read by others.
void refuse_unknown_rope(const Fields& rope, const std::string& type) {
  constexpr std::array all = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
  constexpr std::array llama3 = {"factor", "low_freq_factor", "high_freq_factor",
                                 "original_max_position_embeddings"};
  for (const std::string& name : rope.names()) {
    const bool known = std::ranges::find(all, name) != all.end() ||
                       (type == "llama3" && std::ranges::find(llama3, name) != llama3.end());
    if (!known) {
      rope.unsupported(name, rope.shown(name.c_str()), fmt::format("rope_type {} without", type));
    }
  }
}

/// The rope fields of both layouts: rope_theta beside rope_scaling (transformers 4), or all of it
/// in rope_parameters (transformers 5). As in transformers 5, which reads both, rope_scaling counts
/// where it says anything, and what is said inside counts before what is said beside it.
void read_rope(const Fields& fields, ModelConfig& config) {
  refuse_partial(fields);
  config.rope_theta = fields.number("rope_theta").value_or(10000.0);
  std::optional<Fields> rope = fields.object("rope_scaling");
  if (!rope || rope->names().empty()) rope = fields.object("rope_parameters");
  if (!rope) return;
  refuse_partial(*rope);
  config.rope_theta = rope->number("rope_theta").value_or(config.rope_theta);
  std::optional<std::string> type = rope->text("rope_type");
  if (!type) type = rope->text("type");
  const char* original = "original_max_position_embeddings";
  if (!type && rope->find("factor") == nullptr) type = "default";
  const std::string name = rope->need("rope_type", type);
  if (name != "default" && name != "llama3") {
    rope->unsupported("rope_type", name, "default and llama3");
  }
  refuse_unknown_rope(*rope, name);
  if (name == "default") return;
  const auto number = [&](const char* field) { return rope->need(field, rope->number(field)); };
  const std::optional<std::int64_t> beside = fields.integer(original);
  const std::int64_t context = rope->integer(original).value_or(
      beside.value_or(fields.integer("max_position_embeddings").value_or(config.max_position)));
  if (beside && *beside != context) {
    fields.unsupported(original, fmt::format("{}", *beside),
                       fmt::format("one value of it, {} says {}", "rope_scaling", context));
  }
  config.rope_scaling = Llama3RopeScaling{number("factor"), number("low_freq_factor"),
                                          number("high_freq_factor"), context};
}

/// Only a label: each tensor says its own.
DType read_dtype(const Fields& fields) {
  const char* name = fields.find("dtype") != nullptr ? "dtype" : "torch_dtype";
  const std::string text = fields.text(name).value_or("float32");
  if (text == "float32" || text == "auto") return DType::kF32;
  if (text == "bfloat16") return DType::kBF16;
  if (text == "float16") return DType::kF16;
  fields.unsupported(name, text, "float32, bfloat16, float16 and auto");
}

std::string_view torch_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
    default:
      break;
  }
  fail(ErrorCode::kInvalidArgument,
       "a checkpoint cannot be stored in {}, expected f32, bf16 or f16", dtype_name(dtype));
}

}  // namespace

std::int64_t ModelConfig::parameters() const noexcept {
  return count_elements(*this);
}

void check_config(const ModelConfig& config, std::string_view where) {
  struct Count {
    const char* name;
    std::int64_t value;
    std::int64_t most = kMaxCount;
  };
  const std::array counts = {
      Count{"num_hidden_layers", config.layers, ModelConfig::kMaxLayers},
      Count{"hidden_size", config.hidden},
      Count{"num_attention_heads", config.heads},
      Count{"num_key_value_heads", config.kv_heads},
      Count{"head_dim", config.head_dim},
      Count{"intermediate_size", config.ffn},
      Count{"vocab_size", config.vocab},
      Count{"max_position_embeddings", config.max_position},
  };
  for (const Count& count : counts) {
    require(count.value > 0 && count.value <= count.most, ErrorCode::kCorruptFile,
            "{}: {} is {}, expected 1 to {}", where, count.name, count.value, count.most);
  }
  require(config.heads % config.kv_heads == 0, ErrorCode::kCorruptFile,
          "{}: num_key_value_heads {} does not divide num_attention_heads {}", where,
          config.kv_heads, config.heads);
  require(config.head_dim % 2 == 0, ErrorCode::kCorruptFile,
          "{}: head_dim is {}, expected an even number (RoPE turns pairs)", where, config.head_dim);
  require(config.q_dim() <= kMaxCount, ErrorCode::kCorruptFile,
          "{}: {} heads of {} make a width past {}", where, config.heads, config.head_dim,
          kMaxCount);
  require(config.parameters() <= ModelConfig::kMaxParameters, ErrorCode::kCorruptFile,
          "{}: the model would have over {} parameters", where, ModelConfig::kMaxParameters);

  const auto positive = [&](const char* name, double value) {
    require(std::isfinite(value) && value > 0, ErrorCode::kCorruptFile,
            "{}: {} is {}, expected a positive number", where, name, value);
  };
  positive("rms_norm_eps", config.rms_norm_eps);
  positive("rope_theta", config.rope_theta);
  if (config.rope_scaling) {
    const Llama3RopeScaling& scaling = *config.rope_scaling;
    positive("rope_scaling.factor", scaling.factor);
    positive("rope_scaling.low_freq_factor", scaling.low_freq_factor);
    positive("rope_scaling.high_freq_factor", scaling.high_freq_factor);
    require(scaling.low_freq_factor < scaling.high_freq_factor, ErrorCode::kCorruptFile,
            "{}: rope_scaling.low_freq_factor {} is not below high_freq_factor {}", where,
            scaling.low_freq_factor, scaling.high_freq_factor);
    require(scaling.original_max_position > 0 && scaling.original_max_position <= kMaxCount,
            ErrorCode::kCorruptFile,
            "{}: rope_scaling.original_max_position_embeddings is {}, expected 1 to {}", where,
            scaling.original_max_position, kMaxCount);
  }
}

ModelConfig parse_config(std::string_view json, std::string_view where,
                         std::vector<std::string>* warnings) {
  const Json root = parse_json_object(json, where);
  const Fields fields(root, where);
  refuse_foreign(fields);
  std::vector<std::string> notes = check_unapplied_fields(fields, where);
  const auto integer = [&](const char* name) { return fields.need(name, fields.integer(name)); };
  ModelConfig config;
  config.layers = integer("num_hidden_layers");
  config.hidden = integer("hidden_size");
  config.heads = integer("num_attention_heads");
  config.kv_heads = fields.integer("num_key_value_heads").value_or(config.heads);
  config.ffn = integer("intermediate_size");
  config.vocab = integer("vocab_size");
  if (const auto head_dim = fields.integer("head_dim")) {
    config.head_dim = *head_dim;
  } else {
    require(config.heads > 0 && config.hidden % config.heads == 0, ErrorCode::kCorruptFile,
            "{}: has no head_dim, and num_attention_heads {} does not divide hidden_size {}", where,
            config.heads, config.hidden);
    config.head_dim = config.hidden / config.heads;
  }
  // Absent fields get the defaults of transformers' LlamaConfig.
  config.max_position = fields.integer("max_position_embeddings").value_or(2048);
  config.rms_norm_eps = fields.number("rms_norm_eps").value_or(1e-6);
  config.tie_embeddings = fields.boolean("tie_word_embeddings").value_or(false);
  config.dtype = read_dtype(fields);
  read_rope(fields, config);
  config.bos = fields.integer("bos_token_id");
  config.eos = fields.ids("eos_token_id").value_or(std::vector<std::int64_t>{});
  check_config(config, where);
  read_window(fields, config, notes, where);
  if (warnings != nullptr) *warnings = std::move(notes);
  return config;
}

ModelConfig load_config(const std::filesystem::path& dir, std::vector<std::string>* warnings) {
  require_folder(dir);
  const std::filesystem::path path = dir / "config.json";
  ModelConfig config = parse_config(read_text_file(path, kMaxConfigBytes), path.string(), warnings);
  const std::filesystem::path generation = dir / "generation_config.json";
  if (const auto text = read_text_file_if_listed(generation, kMaxConfigBytes)) {
    const std::string where = generation.string();
    const Json json = parse_json_object(*text, where);
    if (auto eos = Fields(json, where).ids("eos_token_id")) config.eos = std::move(*eos);
  }
  return config;
}

std::string config_to_json(const ModelConfig& config) {
  Json json = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"mlp_bias", false},
      {"hidden_act", "silu"},
      {"num_hidden_layers", config.layers},
      {"hidden_size", config.hidden},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"intermediate_size", config.ffn},
      {"vocab_size", config.vocab},
      {"max_position_embeddings", config.max_position},
      {"rms_norm_eps", config.rms_norm_eps},
      {"rope_theta", config.rope_theta},
      {"rope_scaling", nullptr},
      {"tie_word_embeddings", config.tie_embeddings},
      {"torch_dtype", torch_name(config.dtype)},
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"use_cache", true},
  };
  if (config.rope_scaling) {
    json["rope_scaling"] = {
        {"rope_type", "llama3"},
        {"factor", config.rope_scaling->factor},
        {"low_freq_factor", config.rope_scaling->low_freq_factor},
        {"high_freq_factor", config.rope_scaling->high_freq_factor},
        {"original_max_position_embeddings", config.rope_scaling->original_max_position},
    };
  }
  if (config.bos) json["bos_token_id"] = *config.bos;
  if (config.eos.size() == 1) json["eos_token_id"] = config.eos.front();
  if (config.eos.size() > 1) json["eos_token_id"] = config.eos;
  return json.dump(2) + "\n";
}

}  // namespace airlock
