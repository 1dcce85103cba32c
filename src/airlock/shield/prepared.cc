#include "airlock/shield/prepared.h"

#include <algorithm>

#include "airlock/plan/predict.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"

namespace airlock {
namespace {

/// Calls visit(group, rows) for each group of a plan with a mask; rows are those multiplied by it.
template <typename Visit>
void visit_pads(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                std::int64_t generated, const Visit& visit) {
  const std::int64_t logits = std::max<std::int64_t>(generated, 1);
  const std::int64_t rows = prompt + logits - 1;
  for (const RingGroup& group : ring_groups(config, plan.lm_head == Side::kWorker)) {
    visit(group, group.layer == kNoLayer ? logits : rows);
  }
}
}  // namespace

std::int64_t predict_prepared(const ModelConfig& config, const Plan& plan,
                              const LatticeParameters& lattice, std::int64_t prompt,
                              std::int64_t generated) {
  check_tokens(config, prompt, generated);
  if (plan.mask == Mask::kNone) return 0;
  if (plan.pads == PadKind::kLattice) {
    const HintBytes hints = hint_bytes(config, plan.lm_head == Side::kWorker, lattice);
    return hints.sent + hints.received;
  }
  if (plan.pads == PadKind::kLocal) return 0;
  std::int64_t bytes = 0;
  visit_pads(config, plan, prompt, generated, [&](const RingGroup& group, std::int64_t rows) {
    bytes += rows * group.out * static_cast<std::int64_t>(sizeof(std::uint32_t));
  });
  return bytes;
}

std::int64_t predict_pad_rows(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                              std::int64_t generated) {
  check_tokens(config, prompt, generated);
  if (plan.mask != Mask::kPads) return 0;
  std::int64_t used = 0;
  visit_pads(config, plan, prompt, generated,
             [&](const RingGroup&, std::int64_t rows) { used += rows; });
  return used;
}

}  // namespace airlock
