#include "airlock/plan/knobs.h"

#include <fmt/format.h>

namespace airlock {
namespace {
/// What no product of either plan depends on does not tell them apart.
bool differ_in_soundness(const Plan& a, const Plan& b) noexcept {
  return (a.verify || b.verify) && a.soundness != b.soundness;
}
bool differ_in_pads(const Plan& a, const Plan& b) noexcept {
  return (a.mask == Mask::kPads || b.mask == Mask::kPads) && a.pads != b.pads;
}

int differing_knobs(const Plan& a, const Plan& b) noexcept {
  return static_cast<int>(a.attention != b.attention) + static_cast<int>(a.mlp != b.mlp) +
         static_cast<int>(a.wire_dtype != b.wire_dtype) +
         static_cast<int>(a.embedding != b.embedding) + static_cast<int>(a.lm_head != b.lm_head) +
         static_cast<int>(a.chunk != b.chunk) + static_cast<int>(a.mask != b.mask) +
         static_cast<int>(a.verify != b.verify) + static_cast<int>(differ_in_soundness(a, b)) +
         static_cast<int>(differ_in_pads(a, b));
}

std::string attention_suffix(Attention attention) {
  switch (attention) {
    case Attention::kRunner:
      return "+runner-attention";
    case Attention::kBlock:
      return "+attention-block";
    default:
      return fmt::format("+{}", attention_name(attention));
  }
}
}  // namespace

bool same_knobs(const Plan& a, const Plan& b) noexcept {
  return differing_knobs(a, b) == 0;
}

std::string plan_name(const Plan& plan, const Plan* base) {
  const Plan* nearest = base;
  for (const Plan& preset : preset_plans()) {
    if (same_knobs(plan, preset)) return preset.name;
    if (base == nullptr &&
        (nearest == nullptr || differing_knobs(plan, preset) < differing_knobs(plan, *nearest))) {
      nearest = &preset;
    }
  }
  std::string name = nearest->name;
  if (plan.attention != nearest->attention) name += attention_suffix(plan.attention);
  if (plan.mlp != nearest->mlp) name += fmt::format("+mlp-{}", mlp_name(plan.mlp));
  if (plan.wire_dtype != nearest->wire_dtype) {
    name += fmt::format("+{}", dtype_name(plan.wire_dtype));
  }
  if (plan.embedding != nearest->embedding) {
    name += fmt::format("+{}-embedding", side_name(plan.embedding));
  }
  if (plan.lm_head != nearest->lm_head) {
    name += fmt::format("+{}-lm-head", side_name(plan.lm_head));
  }
  if (plan.chunk != nearest->chunk) name += fmt::format("+chunk{}", plan.chunk);
  if (plan.mask != nearest->mask) name += plan.mask == Mask::kPads ? "+pads" : "+no-pads";
  if (plan.verify != nearest->verify) name += plan.verify ? "+verify" : "+no-verify";
  if (differ_in_soundness(plan, *nearest)) name += fmt::format("+soundness{}", plan.soundness);
  if (differ_in_pads(plan, *nearest)) name += fmt::format("+{}", pad_kind_name(plan.pads));
  return name;
}

Plan with_knobs(const Plan& plan, const Knobs& knobs) {
  Plan changed = plan;
  changed.attention = knobs.attention.value_or(plan.attention);
  changed.mlp = knobs.mlp.value_or(plan.mlp);
  changed.wire_dtype = knobs.wire_dtype.value_or(plan.wire_dtype);
  changed.embedding = knobs.embedding.value_or(plan.embedding);
  changed.lm_head = knobs.lm_head.value_or(plan.lm_head);
  changed.chunk = knobs.chunk.value_or(plan.chunk);
  changed.mask = knobs.mask.value_or(plan.mask);
  changed.verify = knobs.verify.value_or(plan.verify);
  changed.soundness = knobs.soundness.value_or(plan.soundness);
  changed.pads = knobs.pads.value_or(plan.pads);
  check_plan(changed);
  if (!same_knobs(changed, plan)) changed.name = plan_name(changed, &plan);
  return changed;
}

}  // namespace airlock
