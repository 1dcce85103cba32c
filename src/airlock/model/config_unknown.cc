#include "airlock/model/config_unknown.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include <fmt/ranges.h>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

/// Read by parse_config or load_config.
constexpr auto kApplied = std::to_array<std::string_view>({
    "attention_bias",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "torch_dtype",
    "use_sliding_window",
    "vocab_size",
});

/// Of no effect on logits: about training, tokenizers, generation, classification, and how
/// transformers computes. Those of transformers' PretrainedConfig and LlamaConfig, versions 4 and
/// 5, and of tools that write checkpoints.
constexpr auto kHarmless = std::to_array<std::string_view>({
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "max_window_layers",
    "min_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
});

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

/// What other decoders have and Llama has not, and the number at which it does nothing. Null,
/// false, and an empty list or object do nothing either.
struct Foreign {
  std::string_view name;
  double neutral = kNoNumber;
};
constexpr auto kForeign = std::to_array<Foreign>({
    {"alibi"},
    {"attention_chunk_size"},
    {"attention_multiplier"},
    {"attn_logit_softcapping"},
    {"clip_qkv"},
    {"compression_config"},
    {"dim_model_base"},
    {"embedding_multiplier", 1},
    {"final_logit_softcapping"},
    {"interleaved_rope"},
    {"logit_scale", 1},
    {"logits_scaling", 1},
    {"moe"},
    {"no_rope_layer_interval"},
    {"no_rope_layers"},
    {"num_experts", 0},
    {"num_local_experts", 0},
    {"parallel_attn"},
    {"per_layer_config"},
    {"pruned_heads"},
    {"qk_layernorm"},
    {"qk_norm"},
    {"qkv_bias"},
    {"query_pre_attn_scalar"},
    {"residual_multiplier", 1},
    {"rope_interleaved"},
    {"rope_ratio", 1},
    {"rotary_pct", 1},
    {"scale_depth"},
    {"scale_emb", 1},
    {"use_parallel_residual"},
    {"use_qk_norm"},
});

bool does_nothing(const Json& value, double neutral) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_structured()) return value.empty();
  return value.is_number() && value.get<double>() == neutral;
}

}  // namespace

std::vector<std::string> check_unapplied_fields(const ConfigFields& fields,
                                                std::string_view where) {
  std::vector<std::string> unknown;
  for (const std::string& name : fields.names()) {
    if (name.starts_with('_') || std::ranges::find(kApplied, name) != kApplied.end() ||
        std::ranges::find(kHarmless, name) != kHarmless.end()) {
      continue;
    }
    const auto foreign = std::ranges::find(kForeign, name, &Foreign::name);
    if (foreign == kForeign.end()) {
      unknown.push_back(excerpt(name));
    } else if (!does_nothing(*fields.find(name.c_str()), foreign->neutral)) {
      fields.unsupported(name, fields.shown(name.c_str()), "models without");
    }
  }
  if (unknown.empty()) return {};
  return {fmt::format("{}: fields that Airlock does not know and ignores: {}", where,
                      excerpt(fmt::format("{}", fmt::join(unknown, ", "))))};
}

}  // namespace airlock
