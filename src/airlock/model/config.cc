#include "airlock/model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/tensor_table.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();

Json parse_json(std::string_view text, std::string_view where) {
  const auto bound_depth = [&](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    require(depth <= kMaxDepth, ErrorCode::kCorruptFile, "{}: nested deeper than {} levels", where,
            kMaxDepth);
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), bound_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, "{}: is not valid JSON: {}", where, error.what());
  }
  require(json.is_object(), ErrorCode::kCorruptFile, "{}: is not a JSON object", where);
  return json;
}

/// Fields of one JSON object, for messages that name the file and the field. null counts as absent.
class Fields {
 public:
  Fields(const Json& object, std::string_view where, std::string prefix = "")
      : object_(&object), where_(where), prefix_(std::move(prefix)) {}

  [[nodiscard]] const Json* find(const char* name) const {
    const auto found = object_->find(name);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] std::optional<Fields> object(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) wrong(name, *value, "an object or null");
    return Fields(*value, where_, prefix_ + name + ".");
  }
  [[nodiscard]] std::optional<std::int64_t> integer(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    return to_integer(name, *value);
  }
  [[nodiscard]] std::optional<double> number(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) wrong(name, *value, "a number");
    return value->get<double>();
  }
  [[nodiscard]] std::optional<bool> boolean(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) wrong(name, *value, "true or false");
    return value->get<bool>();
  }
  [[nodiscard]] std::optional<std::string> text(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) wrong(name, *value, "a string");
    return value->get<std::string>();
  }
  /// A number, a list of numbers or null; nothing for null.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> ids(const char* name) const {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    std::vector<std::int64_t> list;
    if (value->is_array()) {
      for (const Json& item : *value) list.push_back(to_integer(name, item));
    } else {
      list.push_back(to_integer(name, *value));
    }
    return list;
  }
  template <typename T>
  [[nodiscard]] T need(const char* name, const std::optional<T>& value) const {
    require(value.has_value(), ErrorCode::kCorruptFile, "{}: has no {}{}", where_, prefix_, name);
    return *value;
  }
  [[noreturn]] void unsupported(const char* name, std::string_view value,
                                std::string_view expected) const {
    fail(ErrorCode::kUnsupported, "{}: {}{} is {}, Airlock runs only {}", where_, prefix_, name,
         excerpt(value), expected);
  }

 private:
  [[noreturn]] void wrong(const char* name, const Json& value, std::string_view expected) const {
    fail(ErrorCode::kCorruptFile, "{}: {}{} is of type {}, expected {}", where_, prefix_, name,
         value.type_name(), expected);
  }
  [[nodiscard]] std::int64_t to_integer(const char* name, const Json& value) const {
    if (!value.is_number_integer()) wrong(name, value, "a whole number");
    require(!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t{1} << 62,
            ErrorCode::kCorruptFile, "{}: {}{} is past 2^62", where_, prefix_, name);
    return value.get<std::int64_t>();
  }

  const Json* object_;
  std::string_view where_;
  std::string prefix_;
};

void refuse_foreign(const Fields& fields) {
  const std::string type = fields.need("model_type", fields.text("model_type"));
  if (type != "llama") fields.unsupported("model_type", type, "llama");
  const std::string activation = fields.text("hidden_act").value_or("silu");
  if (activation != "silu") fields.unsupported("hidden_act", activation, "silu");
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (fields.boolean(bias).value_or(false)) fields.unsupported(bias, "true", "models without");
  }
  if (fields.find("sliding_window") != nullptr &&
      fields.boolean("use_sliding_window").value_or(true)) {
    fields.unsupported("sliding_window", "set", "full attention");
  }
  if (fields.find("quantization_config") != nullptr) {
    fields.unsupported("quantization_config", "set", "checkpoints in f32, f16 or bf16");
  }
}

/// The rope fields of both layouts: rope_theta beside rope_scaling (transformers 4), or all of it
/// in rope_parameters (transformers 5).
void read_rope(const Fields& fields, ModelConfig& config) {
  std::optional<Fields> rope = fields.object("rope_parameters");
  const bool scaling_layout = !rope;
  config.rope_theta = fields.number("rope_theta").value_or(10000.0);
  if (scaling_layout) {
    rope = fields.object("rope_scaling");
    if (!rope) return;
  } else {
    config.rope_theta = rope->number("rope_theta").value_or(config.rope_theta);
  }
  std::optional<std::string> type = rope->text("rope_type");
  if (!type) type = rope->text("type");
  if (!type && !scaling_layout) type = "default";
  const std::string name = rope->need("rope_type", type);
  if (rope->number("partial_rotary_factor").value_or(1.0) != 1.0) {
    rope->unsupported("partial_rotary_factor", "set", "RoPE over whole heads");
  }
  if (name == "default") return;
  if (name != "llama3") rope->unsupported("rope_type", name, "default and llama3");
  const auto number = [&](const char* field) { return rope->need(field, rope->number(field)); };
  const char* original = "original_max_position_embeddings";
  config.rope_scaling =
      Llama3RopeScaling{number("factor"), number("low_freq_factor"), number("high_freq_factor"),
                        rope->need(original, rope->integer(original))};
}

DType read_dtype(const Fields& fields) {
  const char* name = fields.find("dtype") != nullptr ? "dtype" : "torch_dtype";
  const std::string text = fields.text(name).value_or("float32");
  if (text == "float32") return DType::kF32;
  if (text == "bfloat16") return DType::kBF16;
  if (text == "float16") return DType::kF16;
  fields.unsupported(name, text, "float32, bfloat16 and float16");
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
  const auto id = [&](const char* name, std::int64_t value) {
    require(value >= 0 && value < config.vocab, ErrorCode::kCorruptFile,
            "{}: {} {} is outside the vocabulary of {}", where, name, value, config.vocab);
  };
  if (config.bos) id("bos_token_id", *config.bos);
  for (const std::int64_t eos : config.eos) id("eos_token_id", eos);
}

ModelConfig parse_config(std::string_view json, std::string_view where) {
  const Json root = parse_json(json, where);
  const Fields fields(root, where);
  refuse_foreign(fields);
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
  return config;
}

ModelConfig load_config(const std::filesystem::path& dir) {
  std::error_code ignored;
  require(std::filesystem::exists(dir, ignored), ErrorCode::kNotFound, "{}: no such folder",
          dir.string());
  const std::filesystem::path path = dir / "config.json";
  ModelConfig config = parse_config(read_text_file(path, kMaxConfigBytes), path.string());
  const std::filesystem::path generation = dir / "generation_config.json";
  if (std::filesystem::exists(generation, ignored)) {
    const std::string where = generation.string();
    const Json json = parse_json(read_text_file(generation, kMaxConfigBytes), where);
    if (auto eos = Fields(json, where).ids("eos_token_id")) config.eos = std::move(*eos);
    check_config(config, where);
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
