#include "airlock/shield/prepared.h"

#include <algorithm>

#include "airlock/plan/predict.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"

namespace airlock {

std::int64_t predict_prepared(const ModelConfig& config, const Plan& plan,
                              const LatticeParameters& lattice, std::int64_t prompt,
                              std::int64_t generated) {
  check_tokens(config, prompt, generated);
  if (plan.mask == Mask::kNone) return 0;
  const bool head = plan.lm_head == Side::kWorker;
  if (plan.pads == PadKind::kLattice) {
    const HintBytes hints = hint_bytes(config, head, lattice);
    return hints.sent + hints.received;
  }
  if (plan.pads == PadKind::kLocal) return 0;
  const std::int64_t logits = std::max<std::int64_t>(generated, 1);
  const std::int64_t rows = prompt + logits - 1;
  std::int64_t bytes = 0;
  for (const RingGroup& group : ring_groups(config, head)) {
    bytes += (group.layer == kNoLayer ? logits : rows) * group.out *
             static_cast<std::int64_t>(sizeof(std::uint32_t));
  }
  return bytes;
}

}  // namespace airlock
