// The knobs of a plan one by one: setting those a user named, and naming plans that are no preset.
// Names are the nearest preset and what differs from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "airlock/plan/plan.h"

namespace airlock {

/// Knobs that were named; the others stay as they are.
struct Knobs {
  std::optional<Attention> attention = {};
  std::optional<Mlp> mlp = {};
  std::optional<DType> wire_dtype = {};
  std::optional<Side> embedding = {};
  std::optional<Side> lm_head = {};
  std::optional<std::int64_t> chunk = {};
  std::optional<Mask> mask = {};
  std::optional<bool> verify = {};
  std::optional<int> soundness = {};
  std::optional<PadKind> pads = {};
};

/// True if all knobs are equal, whatever the names.
bool same_knobs(const Plan& a, const Plan& b) noexcept;

/// A stable, readable name. A preset's if the knobs are one's; else the name of `base` (or of the
/// preset that differs in fewest knobs, the first of equals) and "+" with each knob that differs,
/// in this order: attention ("+flash", "+runner-attention", "+attention-block", …), mlp
/// ("+mlp-block", "+mlp-split"), wire dtype ("+f16"), embedding ("+runner-embedding",
/// "+worker-embedding"), LM head ("+runner-lm-head", "+worker-lm-head"), chunk ("+chunk256"), mask
/// ("+pads", "+no-pads"), checks ("+verify", "+no-verify"), "+soundness62", source of pads
/// ("+dealer", "+local", "+lattice").
/// So `--plan flash --wire-dtype f16` is "flash+f16", and `--plan baseline --attention flash` is
/// "flash".
std::string plan_name(const Plan& plan, const Plan* base = nullptr);

/// `plan` with those knobs set, named as plan_name does. Throws as check_plan does.
Plan with_knobs(const Plan& plan, const Knobs& knobs);

}  // namespace airlock
