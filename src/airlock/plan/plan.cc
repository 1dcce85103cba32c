#include "airlock/plan/plan.h"

#include <array>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::array<std::string_view, 5> kAttentionNames = {"matmul", "fused", "flash", "runner",
                                                             "block"};
constexpr std::array<std::string_view, 2> kMlpNames = {"split", "block"};
constexpr std::array<std::string_view, 2> kSideNames = {"worker", "runner"};

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
  require(plan.wire_dtype != DType::kI64, ErrorCode::kInvalidArgument,
          "activations cannot travel as i64, expected f32, bf16, f16 or int8");
  require(plan.chunk >= 0, ErrorCode::kInvalidArgument,
          "chunk is {} tokens, expected 0 (whole) or more", plan.chunk);
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

Attention parse_attention(std::string_view name) {
  return parse_name<Attention>("attention", name, kAttentionNames);
}
Mlp parse_mlp(std::string_view name) {
  return parse_name<Mlp>("mlp", name, kMlpNames);
}
Side parse_side(std::string_view name) {
  return parse_name<Side>("side", name, kSideNames);
}

}  // namespace airlock
