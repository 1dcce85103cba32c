#include "airlock/plan/plan.h"

#include <array>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::array<std::string_view, 5> kAttentionNames = {"matmul", "fused", "flash", "runner",
                                                             "block"};
constexpr std::array<std::string_view, 2> kMlpNames = {"split", "block"};
constexpr std::array<std::string_view, 2> kSideNames = {"worker", "runner"};
constexpr std::array<std::string_view, 2> kMaskNames = {"none", "pads"};
constexpr std::array<std::string_view, 3> kPadNames = {"lattice", "dealer", "local"};

template <typename Enum, std::size_t N>
Enum parse_name(std::string_view what, std::string_view name,
                const std::array<std::string_view, N>& names) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  fail(ErrorCode::kInvalidArgument, "unknown {} `{}`{}, expected one of {}", what, name,
       suggest(name, names), fmt::join(names, ", "));
}

Plan preset(std::string name, Attention attention, Mlp mlp, DType wire_dtype) {
  Plan plan;
  plan.name = std::move(name);
  plan.attention = attention;
  plan.mlp = mlp;
  plan.wire_dtype = wire_dtype;
  return plan;
}

Plan ring_preset(std::string name, Mask mask, bool verify) {
  Plan plan = preset(std::move(name), Attention::kRunner, Mlp::kSplit, DType::kRing);
  plan.embedding = Side::kRunner;
  plan.mask = mask;
  plan.verify = verify;
  return plan;
}

void check_ring_plan(const Plan& plan) {
  const auto needs = [&](bool ok, std::string_view what) {
    require(ok, ErrorCode::kInvalidArgument,
            "exact products are those with weights alone: wire-dtype ring, as plans private, "
            "verified and sealed have it, needs {}",
            what);
  };
  needs(plan.attention == Attention::kRunner, "attention runner");
  needs(plan.mlp == Mlp::kSplit, "mlp split");
  needs(plan.embedding == Side::kRunner, "embedding runner");
  require(plan.soundness == 31 || plan.soundness == 62, ErrorCode::kInvalidArgument,
          "soundness is {} bits, expected 31 (one check a product) or 62 (two)", plan.soundness);
}
}  // namespace

const std::vector<Plan>& preset_plans() {
  static const std::vector<Plan> plans = {
      preset("baseline", Attention::kMatmul, Mlp::kSplit, DType::kF32),
      preset("bf16", Attention::kMatmul, Mlp::kSplit, DType::kBF16),
      preset("fused", Attention::kFused, Mlp::kSplit, DType::kF32),
      preset("flash", Attention::kFlash, Mlp::kSplit, DType::kF32),
      preset("combined", Attention::kFlash, Mlp::kSplit, DType::kBF16),
      preset("runner-attention", Attention::kRunner, Mlp::kSplit, DType::kBF16),
      preset("blocks", Attention::kBlock, Mlp::kBlock, DType::kBF16),
      ring_preset("private", Mask::kPads, false),
      ring_preset("verified", Mask::kNone, true),
      ring_preset("sealed", Mask::kPads, true),
  };
  return plans;
}

Plan find_plan(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Plan& plan : preset_plans()) {
    if (plan.name == name) return plan;
    names.push_back(plan.name);
  }
  fail(ErrorCode::kInvalidArgument, "unknown plan `{}`{}, expected one of {}", name,
       suggest(name, names), fmt::join(names, ", "));
}

std::vector<Plan> parse_plans(std::string_view names) {
  if (names == "all") return preset_plans();
  std::vector<Plan> plans;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    plans.push_back(find_plan(names.substr(begin, end - begin)));
    begin = end + 1;
  }
  return plans;
}

void check_plan(const Plan& plan) {
  require(is_real(plan.wire_dtype) || plan.ring(), ErrorCode::kInvalidArgument,
          "activations cannot travel as {}, expected f32, bf16, f16, int8 or ring",
          dtype_name(plan.wire_dtype));
  require(plan.ring() || plan.mask == Mask::kNone, ErrorCode::kInvalidArgument,
          "pads mask exact products alone: mask pads needs wire-dtype ring, as plan sealed has it");
  require(plan.ring() || !plan.verify, ErrorCode::kInvalidArgument,
          "only exact products can be checked: verify on needs wire-dtype ring, as plan sealed has "
          "it");
  if (plan.ring()) check_ring_plan(plan);
  require(plan.chunk >= 0, ErrorCode::kInvalidArgument,
          "chunk is {} tokens, expected 0 (whole) or more", plan.chunk);
}

std::vector<std::string> plan_assumes(const Plan& plan) {
  if (plan.mask == Mask::kNone || plan.pads == PadKind::kLocal) return {};
  return {plan.pads == PadKind::kLattice ? "module-lwe" : "no-collusion"};
}

std::string_view attention_name(Attention attention) noexcept {
  return kAttentionNames[static_cast<std::size_t>(attention)];
}
std::string_view mlp_name(Mlp mlp) noexcept {
  return kMlpNames[static_cast<std::size_t>(mlp)];
}
std::string_view side_name(Side side) noexcept {
  return kSideNames[static_cast<std::size_t>(side)];
}

std::string_view mask_name(Mask mask) noexcept {
  return kMaskNames[static_cast<std::size_t>(mask)];
}
std::string_view pad_kind_name(PadKind kind) noexcept {
  return kPadNames[static_cast<std::size_t>(kind)];
}

Attention parse_attention(std::string_view name) {
  return parse_name<Attention>("attention", name, kAttentionNames);
}
Mlp parse_mlp(std::string_view name) {
  return parse_name<Mlp>("mlp", name, kMlpNames);
}
Side parse_side(std::string_view name) {
  return parse_name<Side>("side", name, kSideNames);
}
Mask parse_mask(std::string_view name) {
  return parse_name<Mask>("mask", name, kMaskNames);
}
PadKind parse_pad_kind(std::string_view name) {
  return parse_name<PadKind>("source of pads", name, kPadNames);
}

}  // namespace airlock
