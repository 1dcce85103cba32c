#include <array>

#include "airlock/core/error.h"
#include "airlock/model/config.h"
#include "airlock/model/input_file.h"

namespace airlock {
namespace {

/// What all Llama 3.1 and 3.2 models share. Numbers of the presets: the config.json files that Meta
/// published with the weights.
ModelConfig llama3(double rope_factor) {
  ModelConfig config;
  config.vocab = 128256;
  config.max_position = 131072;
  config.rms_norm_eps = 1e-5;
  config.rope_theta = 500000.0;
  config.rope_scaling = Llama3RopeScaling{rope_factor, 1.0, 4.0, 8192};
  config.dtype = DType::kBF16;
  config.bos = 128000;
  config.eos = {128001};
  return config;
}

ModelConfig llama_3_2_1b() {
  ModelConfig config = llama3(32.0);
  config.layers = 16;
  config.hidden = 2048;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.ffn = 8192;
  config.tie_embeddings = true;
  return config;
}

ModelConfig llama_3_2_3b() {
  ModelConfig config = llama3(32.0);
  config.layers = 28;
  config.hidden = 3072;
  config.heads = 24;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.ffn = 8192;
  config.tie_embeddings = true;
  return config;
}

ModelConfig llama_3_1_8b() {
  ModelConfig config = llama3(8.0);
  config.layers = 32;
  config.hidden = 4096;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.ffn = 14336;
  return config;
}

ModelConfig llama_3_1_70b() {
  ModelConfig config = llama3(8.0);
  config.layers = 80;
  config.hidden = 8192;
  config.heads = 64;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.ffn = 28672;
  return config;
}

/// Every feature of the family at a size where a whole run takes milliseconds. The first 256 of its
/// 2048 positions are the "original" context, so that tests reach the scaled frequencies.
ModelConfig tiny() {
  ModelConfig config = llama3(8.0);
  config.layers = 2;
  config.hidden = 64;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.ffn = 176;
  config.vocab = 512;
  config.max_position = 2048;
  config.rope_scaling->original_max_position = 256;
  config.tie_embeddings = true;
  config.bos = 502;  // where make_byte_level_tokenizer_json puts them
  config.eos = {503};
  return config;
}

struct Preset {
  std::string_view name;
  ModelConfig (*make)();
};
constexpr std::array kPresets = {
    Preset{"llama-3.2-1b", llama_3_2_1b},
    Preset{"llama-3.2-3b", llama_3_2_3b},
    Preset{"llama-3.1-8b", llama_3_1_8b},
    Preset{"llama-3.1-70b", llama_3_1_70b},
    Preset{"tiny", tiny},
};

}  // namespace

const std::vector<std::string_view>& preset_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> list;
    for (const Preset& preset : kPresets) list.push_back(preset.name);
    return list;
  }();
  return names;
}

std::optional<ModelConfig> find_preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return preset.make();
  }
  return std::nullopt;
}

ModelConfig config_of(std::string_view preset_or_dir) {
  if (auto preset = find_preset(preset_or_dir)) return *preset;
  // A name that something has is a folder's, were it one that cannot be read.
  if (is_listed(preset_or_dir)) return load_config(preset_or_dir);
  std::string list;
  for (const std::string_view name : preset_names()) list += fmt::format(" {}", name);
  fail(ErrorCode::kNotFound, "{}: neither a checkpoint folder nor a preset{}; presets:{}",
       preset_or_dir, suggest(preset_or_dir, preset_names()), list);
}

}  // namespace airlock
