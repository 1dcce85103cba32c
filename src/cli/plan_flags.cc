#include "cli/plan_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "airlock/core/error.h"
#include "airlock/plan/auto_plan.h"

namespace airlock {
namespace {
constexpr const char* kGroup = "Plan";

template <typename Parse>
auto parse_flag(const char* flag, const std::string& text, const Parse& parse)
    -> std::optional<decltype(parse(text))> {
  if (text.empty()) return std::nullopt;
  try {
    return parse(text);
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", flag, error.what());
  }
}

DType parse_wire_dtype(std::string_view name) {
  const DType dtype = parse_dtype(name);
  require(is_real(dtype) || dtype == DType::kRing, ErrorCode::kInvalidArgument,
          "activations cannot travel as {}, expected f32, bf16, f16, int8 or ring",
          dtype_name(dtype));
  return dtype;
}

bool parse_switch(std::string_view name) {
  require(name == "on" || name == "off", ErrorCode::kInvalidArgument, "`{}`, expected on or off",
          name);
  return name == "on";
}

/// Names with commas, or "all".
std::vector<DType> parse_wire_dtypes(std::string_view names) {
  if (names == "all") return {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};
  std::vector<DType> dtypes;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    dtypes.push_back(parse_wire_dtype(names.substr(begin, end - begin)));
    begin = end + 1;
  }
  return dtypes;
}
}  // namespace

void PlanFlags::add_to(CLI::App& command, std::string names, const std::string& what) {
  names_ = std::move(names);
  command.add_option("--plan", names_, what)->group(kGroup)->capture_default_str();
  command.add_option("--attention", attention_, "matmul, fused, flash, runner or block")
      ->group(kGroup);
  command.add_option("--mlp", mlp_, "split or block")->group(kGroup);
  command
      .add_option("--wire-dtype", wire_dtype_,
                  "f32, bf16, f16, int8 or ring; for several plans with commas, or all")
      ->group(kGroup);
  command.add_option("--embedding", embedding_, "worker, or runner: token ids never leave")
      ->group(kGroup);
  command.add_option("--lm-head", lm_head_, "worker, or runner: logits never come back")
      ->group(kGroup);
  command.add_option("--mask", mask_, "Of the ring's rows: none, or pads (one each, used once)")
      ->group(kGroup);
  command.add_option("--verify", verify_, "on: every product of the ring is checked, or off")
      ->group(kGroup);
  command
      .add_option("--soundness", soundness_,
                  "Bits of certainty that a check gives: 31, or 62 (two checks)")
      ->group(kGroup);
  command.add_option("--pads", pads_, "Where pads come from: lattice, dealer or local")
      ->group(kGroup);
  command.add_option("--chunk", chunk_, "Prefill in pieces of so many tokens (0: whole)")
      ->group(kGroup);
}

Knobs PlanFlags::knobs() const {
  Knobs knobs = knobs_of_any_wire();
  knobs.wire_dtype = parse_flag("--wire-dtype", wire_dtype_, parse_wire_dtype);
  return knobs;
}

Knobs PlanFlags::knobs_of_any_wire() const {
  Knobs knobs;
  knobs.attention = parse_flag("--attention", attention_, parse_attention);
  knobs.mlp = parse_flag("--mlp", mlp_, parse_mlp);
  knobs.embedding = parse_flag("--embedding", embedding_, parse_side);
  knobs.lm_head = parse_flag("--lm-head", lm_head_, parse_side);
  knobs.chunk = chunk_;
  knobs.mask = parse_flag("--mask", mask_, parse_mask);
  knobs.verify = parse_flag("--verify", verify_, parse_switch);
  knobs.soundness = soundness_;
  knobs.pads = parse_flag("--pads", pads_, parse_pad_kind);
  return knobs;
}

void PlanFlags::add_choice_to(CLI::App& command) {
  command
      .add_option("--must-not-see", must_not_see_,
                  "With --plan auto: of prompt, hidden, qkv, scores, mlp, logits")
      ->group(kGroup);
}

std::vector<std::string> PlanFlags::must_not_see() const {
  if (must_not_see_.empty()) return {};
  require(has_auto(), ErrorCode::kInvalidArgument,
          "--must-not-see chooses among plans: use it with --plan auto");
  return parse_must_not_see(must_not_see_);
}

bool PlanFlags::has_auto() const {
  return fmt::format(",{},", names_).find(",auto,") != std::string::npos;
}

std::vector<Plan> PlanFlags::plans() const {
  require(!has_auto(), ErrorCode::kInvalidArgument,
          "--plan auto is for plan, run and bench: this command takes plans by name");
  return apply(parse_plans(names_));
}

std::vector<Plan> PlanFlags::plans_beside_auto() const {
  if (!has_auto()) return plans();
  std::string others = fmt::format(",{},", names_);
  for (std::size_t at = others.find(",auto,"); at != std::string::npos;
       at = others.find(",auto,")) {
    others.erase(at, 5);
  }
  if (others == ",") return {};
  return apply(parse_plans(std::string_view(others).substr(1, others.size() - 2)));
}

std::vector<Plan> PlanFlags::apply(const std::vector<Plan>& plans) const {
  Knobs named = knobs_of_any_wire();
  std::vector<std::optional<DType>> wires = {std::nullopt};
  if (const auto dtypes = parse_flag("--wire-dtype", wire_dtype_, parse_wire_dtypes)) {
    wires.assign(dtypes->begin(), dtypes->end());
  }
  std::vector<Plan> changed;
  for (const Plan& plan : plans) {
    for (const std::optional<DType> wire : wires) {
      named.wire_dtype =
          plan.ring() && (wire_dtype_ == "all" || plans.size() > 1) ? std::nullopt : wire;
      Plan next = with_knobs(plan, named);
      const bool known = std::any_of(changed.begin(), changed.end(),
                                     [&](const Plan& p) { return same_knobs(p, next); });
      if (!known) changed.push_back(std::move(next));
    }
  }
  return changed;
}

}  // namespace airlock
