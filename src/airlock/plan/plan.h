// A plan: where each operator runs and how tensors travel. Presets are points in the space of
// knobs, nothing more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/core/dtype.h"

namespace airlock {

/// Where attention is computed, and how much of it leaves the runner.
enum class Attention : std::uint8_t {
  kMatmul,  ///< two Matmul calls, softmax and KV cache in the runner: scores cross twice
  kFused,   ///< one FusedAttention call on K and V repeated to all heads: scores stay there
  kFlash,   ///< one FlashAttention call on the new rows, KV cache on the worker
  kRunner,  ///< a flash kernel and the KV cache in the runner
  kBlock,   ///< one AttentionBlock call: projections, RoPE, flash and KV cache on the worker
};

/// Whether the MLP's activation runs in the runner (two BatchLinear calls) or in one GatedMlp call.
enum class Mlp : std::uint8_t { kSplit, kBlock };

enum class Side : std::uint8_t { kWorker, kRunner };

/// Knobs of a run; a value type.
struct Plan {
  std::string name = "custom";  ///< the preset's, or "custom" once a knob differs from it
  Attention attention = Attention::kMatmul;
  Mlp mlp = Mlp::kSplit;
  DType wire_dtype = DType::kF32;  ///< of every float tensor that crosses
  Side embedding = Side::kWorker;  ///< kRunner: token ids never leave
  Side lm_head = Side::kWorker;    ///< kRunner: logits never come back
  std::int64_t chunk = 0;          ///< prefill in pieces of so many tokens; 0: whole

  friend bool operator==(const Plan&, const Plan&) = default;
};

/// The presets in the order of DESIGN.md: baseline, bf16, fused, flash, combined,
/// runner-attention, blocks.
const std::vector<Plan>& preset_plans();
/// The preset of that name. Throws Error(kInvalidArgument) that suggests the nearest.
Plan find_plan(std::string_view name);
/// Comma-separated presets, or "all". Throws as find_plan does.
std::vector<Plan> parse_plans(std::string_view names);

/// Throws Error(kInvalidArgument) with the reason unless the knobs go together.
void check_plan(const Plan& plan);

std::string_view attention_name(Attention attention) noexcept;  ///< "matmul", "fused", …
std::string_view mlp_name(Mlp mlp) noexcept;                    ///< "split", "block"
std::string_view side_name(Side side) noexcept;                 ///< "worker", "runner"
Attention parse_attention(std::string_view name);               ///< throws Error(kInvalidArgument)
Mlp parse_mlp(std::string_view name);                           ///< throws Error(kInvalidArgument)
Side parse_side(std::string_view name);                         ///< throws Error(kInvalidArgument)

}  // namespace airlock
