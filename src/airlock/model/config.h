// What a Llama model is: the numbers of its config.json, checked, and the presets known by name.
// Everything that plans, predicts or runs a model reads this one structure.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/math/rope_scaling.h"

namespace airlock {

/// Architecture of a Llama-family decoder. Counts are elements or tokens.
struct ModelConfig {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  ///< divides heads
  std::int64_t head_dim = 0;  ///< even; not always hidden / heads
  std::int64_t ffn = 0;
  std::int64_t vocab = 0;
  std::int64_t max_position = 0;  ///< longest context, in tokens
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  std::optional<Llama3RopeScaling> rope_scaling;
  bool tie_embeddings = false;  ///< the LM head is the embedding matrix
  DType dtype = DType::kBF16;   ///< dtype the checkpoint says it is stored in
  // Ids as the files say them; one outside the vocabulary is no token and does nothing.
  std::optional<std::int64_t> bos;
  std::vector<std::int64_t> eos;  ///< ids that end generation; may be empty

  /// Width of all query heads, and of all key (or value) heads, together.
  [[nodiscard]] std::int64_t q_dim() const noexcept { return heads * head_dim; }
  [[nodiscard]] std::int64_t kv_dim() const noexcept { return kv_heads * head_dim; }
  /// 1 / sqrt(head_dim), by which attention scales its scores.
  [[nodiscard]] float attention_scale() const noexcept {
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  }
  /// Weights in all tensors (a tied LM head counts once).
  [[nodiscard]] std::int64_t parameters() const noexcept;

  /// Bounds on what is believed (Llama 3.1 405B: 126 layers, 4.1e11 parameters), so that counts
  /// derived from a hostile configuration neither overflow nor take forever.
  static constexpr std::int64_t kMaxLayers = 65536;
  static constexpr std::int64_t kMaxParameters = std::int64_t{1} << 50;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Throws Error(kCorruptFile) naming `where` and the field unless the numbers make a model: all
/// counts positive and below 2^31, layers and parameters within their bounds, the width of all
/// heads below 2^31, kv_heads dividing heads, head_dim even, finite positive theta and eps.
void check_config(const ModelConfig& config, std::string_view where);

/// Reads a Hugging Face config.json's text as transformers 5 does. `where` names it in errors.
/// Fields Airlock cannot honour (another architecture, biases, RoPE over part of a head, another
/// RoPE scaling, another activation, what other families add) are Error(kUnsupported); missing or
/// absurd ones Error(kCorruptFile). A sliding window shortens max_position to its width: so far
/// attention is full. `warnings`, if given, becomes what users should know: lines for people, of
/// such a window and of fields that are unknown and ignored.
ModelConfig parse_config(std::string_view json, std::string_view where,
                         std::vector<std::string>* warnings = nullptr);

/// parse_config of `dir`/config.json, with eos ids of generation_config.json where that has them.
ModelConfig load_config(const std::filesystem::path& dir,
                        std::vector<std::string>* warnings = nullptr);

/// The config.json text of a model (what `airlock synth` writes); parse_config gives it back.
std::string config_to_json(const ModelConfig& config);

/// Names of the presets: llama-3.2-1b, llama-3.2-3b, llama-3.1-8b, llama-3.1-70b, tiny.
const std::vector<std::string_view>& preset_names();
/// The preset of that name, or nothing.
std::optional<ModelConfig> find_preset(std::string_view name);
/// A preset by name, or else the config of the checkpoint folder of that name. Throws
/// Error(kNotFound) that lists the presets.
ModelConfig config_of(std::string_view preset_or_dir);

}  // namespace airlock
