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

/// Whether rows are hidden from the worker: under kPads each that crosses carries a fresh one-time
/// pad. For the ring only.
enum class Mask : std::uint8_t { kNone, kPads };
/// Where pads come from: see shield/pad_source.h.
enum class PadKind : std::uint8_t { kLattice, kDealer, kLocal };

/// Knobs of a run; a value type.
struct Plan {
  std::string name = "custom";  ///< the preset's, or "custom" once a knob differs from it
  Attention attention = Attention::kMatmul;
  Mlp mlp = Mlp::kSplit;
  DType wire_dtype = DType::kF32;  ///< of every float tensor that crosses
  Side embedding = Side::kWorker;  ///< kRunner: token ids never leave
  Side lm_head = Side::kWorker;    ///< kRunner: logits never come back
  std::int64_t chunk = 0;          ///< prefill in pieces of so many tokens; 0: whole
  Mask mask = Mask::kNone;
  bool verify = false;  ///< every product is checked before it is used; for the ring only
  int soundness = 31;   ///< with verify: a wrong product passes with probability p^-1, or (62) p^-2
  PadKind pads = PadKind::kLattice;  ///< with a mask

  /// True for exact products in a prime field: calls become RingLinear (plan/lowering.h).
  [[nodiscard]] bool ring() const noexcept { return wire_dtype == DType::kRing; }

  friend bool operator==(const Plan&, const Plan&) = default;
};

/// The presets in the order of DESIGN.md: baseline, bf16, fused, flash, combined,
/// runner-attention, blocks, private, verified, sealed.
const std::vector<Plan>& preset_plans();
/// The preset of that name. Throws Error(kInvalidArgument) that suggests the nearest.
Plan find_plan(std::string_view name);
/// Comma-separated presets, or "all". Throws as find_plan does.
std::vector<Plan> parse_plans(std::string_view names);

/// Throws Error(kInvalidArgument) with the reason unless the knobs go together.
void check_plan(const Plan& plan);

/// What the secrecy of a masked plan rests on: "module-lwe", "no-collusion" (of worker and dealer);
/// nothing for pads made by the runner itself, and for plans that hide nothing.
std::vector<std::string> plan_assumes(const Plan& plan);

std::string_view attention_name(Attention attention) noexcept;  ///< "matmul", "fused", …
std::string_view mlp_name(Mlp mlp) noexcept;                    ///< "split", "block"
std::string_view side_name(Side side) noexcept;                 ///< "worker", "runner"
std::string_view mask_name(Mask mask) noexcept;                 ///< "none", "pads"
std::string_view pad_kind_name(PadKind kind) noexcept;          ///< "lattice", "dealer", "local"
Attention parse_attention(std::string_view name);               ///< throws Error(kInvalidArgument)
Mlp parse_mlp(std::string_view name);                           ///< throws Error(kInvalidArgument)
Side parse_side(std::string_view name);                         ///< throws Error(kInvalidArgument)
Mask parse_mask(std::string_view name);                         ///< throws Error(kInvalidArgument)
PadKind parse_pad_kind(std::string_view name);                  ///< throws Error(kInvalidArgument)

}  // namespace airlock
