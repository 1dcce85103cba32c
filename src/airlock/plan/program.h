// A program: the steps of a plan for a model, as data. The executor runs them, the predictor counts
// them and the cost model times them, all by one cursor (program_cursor.h), so that prediction and
// execution cannot disagree.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/ops/call.h"
#include "airlock/plan/pass.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// Named tensors that steps read and write. n: rows of the batch; m, t: rows and context (rows
/// before the pass and its own) of one sequence; r: rows whose logits are wanted. f32 but for the
/// ids.
enum class Slot : std::uint8_t {
  kIds,         ///< [n] i64
  kHidden,      ///< [n, hidden]: the residual stream
  kNormed,      ///< [n, hidden]
  kQ,           ///< [n, heads*head_dim]
  kK,           ///< [n, kv_heads*head_dim]
  kV,           ///< [n, kv_heads*head_dim]
  kQHeads,      ///< [heads, m, head_dim]
  kKHeads,      ///< [heads, t, head_dim]: K repeated to all query heads
  kVHeads,      ///< [heads, t, head_dim]
  kKRows,       ///< [t, heads*head_dim]: K repeated to all query heads
  kVRows,       ///< [t, heads*head_dim]
  kScores,      ///< [heads, m, t]
  kMixedHeads,  ///< [heads, m, head_dim]: probabilities times V
  kMixed,       ///< [n, heads*head_dim]
  kProjected,   ///< [n, hidden]: what is added to the residual stream
  kGate,        ///< [n, ffn]
  kUp,          ///< [n, ffn]
  kActivated,   ///< [n, ffn]
  kLast,        ///< [r, hidden]: normed rows whose logits are wanted
  kLogits,      ///< [r, vocab]
};
inline constexpr int kSlotCount = 20;

/// What a step does with its slots; all but kRemote run in the runner.
enum class StepKind : std::uint8_t {
  kRemote,       ///< a call of `op`
  kEmbed,        ///< ids -> rows of the embedding
  kNorm,         ///< RMSNorm of each row
  kNormWanted,   ///< the same of the rows whose logits are wanted
  kRotate,       ///< RoPE of each output in place
  kCache,        ///< keys, rotated by RoPE, and values join the runner's KV cache
  kSplitHeads,   ///< row-major heads -> head-major
  kRepeatHeads,  ///< the runner's cache -> keys and values repeated, head-major
  kRepeatRows,   ///< the runner's cache -> keys and values repeated, row-major
  kSoftmax,      ///< scale, causal mask and softmax of the scores, in place
  kMergeHeads,   ///< head-major -> row-major
  kAttend,       ///< queries and the runner's cache -> mixed, by the flash kernel
  kActivate,     ///< SiLU(first input) * second
  kAdd,          ///< output += input
  kProject,      ///< rows -> logits, by the LM head
};

using Slots = InlineList<Slot, kMaxTensors>;

struct Step {
  StepKind kind = StepKind::kRemote;
  Slots inputs;
  Slots outputs;
  Weights weights;    ///< matrices of a BatchLinear, or of a norm its weight
  Op op = Op::kInit;  ///< kRemote, as is the next
  bool transpose_b = false;
  /// Runs once for each pass of a batch, on its rows alone: what joins the rows of one sequence
  /// only. Steps of this kind that follow one another run all for one pass, then all for the next.
  bool by_sequence = false;
};

/// What runs for one batch: `begin` once, `layer` for each decoder layer, `end` once if logits are
/// wanted.
struct Program {
  std::vector<Step> begin;
  std::vector<Step> layer;
  std::vector<Step> end;
  int layers = 0;
};

/// The program of `plan` for the model of `config`. Throws as check_plan does.
Program build_program(const ModelConfig& config, const Plan& plan);

/// True if the program keeps keys and values in the runner.
bool has_runner_cache(const Program& program) noexcept;

/// One run of a step: in which layer (-1: in none) and for which pass of the batch (-1: for all).
struct Visit {
  const Step* step = nullptr;
  int layer = -1;
  int pass = -1;
};

/// True if a slot holds rows of one sequence only.
bool is_by_sequence(Slot slot) noexcept;

/// Shape of a slot as `visit` sees it; dtype is i64 for kIds, else f32. A step that runs by
/// sequence sees the rows of its pass alone.
TensorSpec slot_spec(Slot slot, const ModelConfig& config, const Batch& batch, int pass);

/// The call a remote step makes, its floats in f32: plan/lowering.h says how they travel.
Call make_call(const Visit& visit, const ModelConfig& config, const Batch& batch);

}  // namespace airlock
