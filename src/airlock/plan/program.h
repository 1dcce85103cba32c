// The steps of a plan: which operator follows which, on what. The predictor walks them to count,
// the executor walks the same ones to compute, so prediction and execution cannot disagree.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/ops/call.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// Named tensors that steps read and write. n: tokens of the pass, t: context (tokens before the
/// pass and its own), r: rows whose logits are wanted. f32 but for the ids.
enum class Slot : std::uint8_t {
  kIds,         ///< [n] i64
  kHidden,      ///< [n, hidden]: the residual stream
  kNormed,      ///< [n, hidden]
  kQ,           ///< [n, heads*head_dim]
  kK,           ///< [n, kv_heads*head_dim]
  kV,           ///< [n, kv_heads*head_dim]
  kQHeads,      ///< [heads, n, head_dim]
  kKHeads,      ///< [heads, t, head_dim]: K repeated to all query heads
  kVHeads,      ///< [heads, t, head_dim]
  kKRows,       ///< [t, heads*head_dim]: K repeated to all query heads
  kVRows,       ///< [t, heads*head_dim]
  kScores,      ///< [heads, n, t]
  kMixedHeads,  ///< [heads, n, head_dim]: probabilities times V
  kMixed,       ///< [n, heads*head_dim]
  kProjected,   ///< [n, hidden]: what is added to the residual stream
  kGate,        ///< [n, ffn]
  kUp,          ///< [n, ffn]
  kActivated,   ///< [n, ffn]
  kLast,        ///< [r, hidden]: normed rows whose logits are wanted
  kLogits,      ///< [r, vocab]
};
inline constexpr int kSlotCount = 20;

enum class StepKind : std::uint8_t {
  kRemote,           ///< a call of `op`
  kEmbed,            ///< ids -> hidden, in the runner
  kInputNorm,        ///< RMSNorm before attention
  kPostNorm,         ///< RMSNorm before the MLP
  kFinalNorm,        ///< RMSNorm of the wanted rows
  kRotate,           ///< RoPE of q and k in place
  kRotateAndCache,   ///< RoPE of q and k; k and v join the runner's KV cache
  kSplitQueries,     ///< q -> head-major
  kRepeatHeads,      ///< the runner's cache -> K and V repeated, head-major
  kRepeatRows,       ///< the runner's cache -> K and V repeated, token-major
  kSoftmax,          ///< scale, causal mask and softmax of the scores, in place
  kMergeHeads,       ///< head-major -> token-major
  kRunnerAttention,  ///< q and the runner's cache -> mixed, by the flash kernel
  kActivate,         ///< SiLU(gate) * up
  kAdd,              ///< hidden += projected
  kProject,          ///< last -> logits, in the runner
};

using Slots = InlineList<Slot, kMaxTensors>;

struct Step {
  StepKind kind = StepKind::kRemote;
  Op op = Op::kInit;  ///< kRemote only, as are the next two
  Weights weights;
  bool transpose_b = false;
  Slots inputs;
  Slots outputs;
};

/// What runs for one pass of tokens: `begin` once, `layer` for each decoder layer, `end` once if
/// logits are wanted.
struct Program {
  std::vector<Step> begin;
  std::vector<Step> layer;
  std::vector<Step> end;
};

/// The steps of `plan`. Throws as check_plan does.
Program build_program(const Plan& plan);

/// Tokens [position, position + tokens) of a sequence, run through all layers in one go.
struct Pass {
  std::int64_t position = 0;
  std::int64_t tokens = 0;
  std::int64_t logit_rows = 0;  ///< the last so many rows get logits; 0: none
};

/// The passes that prefill `prompt` tokens (in pieces of plan.chunk) and then decode
/// `generated` - 1 more, since the prefill yields the first. Logits of the last position only.
std::vector<Pass> make_passes(const Plan& plan, std::int64_t prompt, std::int64_t generated);

/// Shape of a slot in a pass; dtype is i64 for kIds, else f32.
TensorSpec slot_spec(Slot slot, const ModelConfig& config, const Pass& pass);

/// The call a remote step makes for `layer` (ignored by Embedding and LMHead) in `pass`, with the
/// tensors as they travel: in plan.wire_dtype, ids as i64.
Call make_call(const Step& step, const ModelConfig& config, const Plan& plan, int layer,
               const Pass& pass);

/// True if the plan keeps keys and values in the runner.
bool has_runner_cache(const Plan& plan) noexcept;

}  // namespace airlock
