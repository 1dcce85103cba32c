#include "airlock/plan/auto_plan.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/plan/worker_sees.h"

namespace airlock {
namespace {
constexpr Attention kAttentions[] = {Attention::kBlock, Attention::kFlash, Attention::kRunner,
                                     Attention::kFused, Attention::kMatmul};

/// Chunk sizes and lanes that are tried: chunks below 64 rows waste the worker's products.
constexpr std::int64_t kChunks[] = {0, 512, 256, 128, 64};
constexpr int kLanes[] = {1, 2, 3, 4, 6, 8, 12, 16};
/// A schedule with more lanes or smaller chunks has to gain more than a model can be trusted with.
constexpr double kWorthIt = 0.02;

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What of `unwanted` the worker sees under `plan`.
std::vector<std::string> still_seen(const Plan& plan, const std::vector<std::string>& unwanted) {
  std::vector<std::string> seen = worker_sees(plan);
  std::erase_if(seen, [&](const std::string& word) { return !contains(unwanted, word); });
  return seen;
}

/// Only exact products under pads hide activations; they are slower than all others.
bool wants_ring(const AutoRequest& request) {
  const Knobs& fixed = request.fixed;
  const bool asked =
      fixed.wire_dtype == DType::kRing || fixed.mask == Mask::kPads || fixed.verify.value_or(false);
  return asked || contains(request.must_not_see, "hidden") ||
         contains(request.must_not_see, "qkv") || contains(request.must_not_see, "mlp");
}

/// The presets of the ring with the fixed knobs, where these go together with it.
std::vector<Plan> ring_candidates(const AutoRequest& request) {
  std::vector<Plan> plans;
  for (const Plan& preset : preset_plans()) {
    if (!preset.ring()) continue;
    try {
      plans.push_back(with_knobs(preset, request.fixed));
    } catch (const Error&) {
      continue;  // choose_plan says so if nothing is left
    }
  }
  return plans;
}

std::vector<Plan> candidates(const AutoRequest& request) {
  if (wants_ring(request)) return ring_candidates(request);
  std::vector<Plan> plans;
  for (const Attention attention : kAttentions) {
    for (const Mlp mlp : {Mlp::kBlock, Mlp::kSplit}) {
      for (const DType dtype : {DType::kBF16, DType::kF32}) {
        Plan plan;
        plan.attention = attention;
        plan.mlp = mlp;
        plan.wire_dtype = dtype;
        if (contains(request.must_not_see, "prompt")) plan.embedding = Side::kRunner;
        if (contains(request.must_not_see, "logits")) plan.lm_head = Side::kRunner;
        plan = with_knobs(plan, request.fixed);
        const bool known = std::any_of(plans.begin(), plans.end(),
                                       [&](const Plan& p) { return same_knobs(p, plan); });
        if (!known) plans.push_back(plan);
      }
    }
  }
  return plans;
}

/// What hides each thing that was asked to be hidden, and what the wire does.
std::string knobs_line(const Plan& plan, const AutoRequest& request) {
  std::vector<std::string> parts;
  if (plan.mask == Mask::kPads) parts.emplace_back("pads hide every row that crosses");
  if (plan.verify) parts.emplace_back("every product is checked");
  if (contains(request.must_not_see, "prompt")) {
    parts.emplace_back("the embedding in the runner keeps token ids from the worker");
  }
  if (contains(request.must_not_see, "scores")) {
    parts.emplace_back("attention in the runner keeps scores from it");
  }
  if (contains(request.must_not_see, "logits")) {
    parts.emplace_back("the LM head in the runner keeps logits from it");
  }
  if (plan.wire_dtype == DType::kBF16 && !request.fixed.wire_dtype) {
    parts.emplace_back("bf16 halves the bytes of f32");
  }
  return fmt::format(
      "{}; it sees {}",
      parts.empty() ? "no knob had to be fixed" : fmt::format("{}", fmt::join(parts, ", ")),
      worker_sees(plan).empty() ? "nothing"
                                : fmt::format("{}", fmt::join(worker_sees(plan), ", ")));
}

std::string figures(const PlanChoice& choice, bool timed) {
  std::string text =
      fmt::format("{} bytes in {} calls", choice.traffic.total_bytes(), choice.traffic.calls());
  if (choice.lanes > 1) text += fmt::format(", {} under way", choice.lanes);
  return timed ? fmt::format("{:.1f} ms, {}", choice.wall_ms, text) : text;
}

/// The best schedule of `plan`: chunks and lanes.
PlanChoice schedule(const ModelConfig& config, const AutoRequest& request, const Plan& plan) {
  const HostRates& rates = request.rates;
  PlanChoice best;
  for (const std::int64_t chunk : kChunks) {
    Plan tried = plan;
    if (!request.fixed.chunk) tried.chunk = chunk;
    if (tried.chunk >= request.prompt) tried.chunk = request.fixed.chunk.value_or(0);
    const PlanStages stages = plan_stages(config, tried, request.prompt, request.generated, rates);
    for (const int lanes : kLanes) {
      if (lanes > request.most_lanes || lanes > stages.passes) break;
      const double ms = wall_ms(stages, lanes, rates.same_cores);
      if (best.wall_ms > 0 && ms > best.wall_ms * (1 - kWorthIt)) continue;
      best.plan = tried;
      best.wall_ms = ms;
      best.lanes = lanes;
    }
  }
  best.traffic = predict_traffic(config, best.plan, request.prompt, request.generated);
  return best;
}

/// Says why nothing qualified: the fixed knobs show it.
[[noreturn]] void refuse(const AutoRequest& request, const std::vector<std::string>& seen) {
  const auto& shown = seen.empty() ? request.must_not_see : seen;
  fail(ErrorCode::kUnsupported,
       "the knobs that are set show the worker {}: leave them out, or set --attention, --embedding "
       "and --lm-head to runner, --mask to pads and --wire-dtype to ring",
       shown.empty() ? "activations" : fmt::format("{}", fmt::join(shown, ", ")));
}
}  // namespace

std::vector<std::string> parse_must_not_see(std::string_view list) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view word = list.substr(begin, end - begin);
    const auto& known = visible_things();
    require(std::find(known.begin(), known.end(), word) != known.end(), ErrorCode::kInvalidArgument,
            "must-not-see names `{}`{}, expected words of {}", word, suggest(word, known),
            fmt::join(known, ", "));
    if (!contains(words, word)) words.emplace_back(word);
    begin = end + 1;
  }
  return words;
}

PlanChoice choose_plan(const ModelConfig& config, const AutoRequest& request) {
  std::vector<PlanChoice> choices;
  std::vector<std::string> least_seen;
  for (const Plan& plan : candidates(request)) {
    std::vector<std::string> seen = still_seen(plan, request.must_not_see);
    if (!seen.empty()) {
      if (least_seen.empty() || seen.size() < least_seen.size()) least_seen = std::move(seen);
      continue;
    }
    PlanChoice choice;
    if (request.most_lanes > 0) {
      choice = schedule(config, request, plan);
    } else {
      choice.plan = plan;
      choice.traffic = predict_traffic(config, plan, request.prompt, request.generated);
      choice.wall_ms = plan_stages(config, plan, request.prompt, request.generated, request.rates)
                           .sum()
                           .one_after_the_other();
    }
    choice.plan.name = plan_name(choice.plan);
    choices.push_back(std::move(choice));
  }
  if (choices.empty()) refuse(request, least_seen);
  const bool timed = request.most_lanes > 0 || request.rates.send_rate > 0;
  const auto rank = [timed](const PlanChoice& c) {
    return std::tuple(timed ? c.wall_ms : 0.0, c.traffic.total_bytes(), c.traffic.calls());
  };
  std::stable_sort(choices.begin(), choices.end(),
                   [&](const PlanChoice& a, const PlanChoice& b) { return rank(a) < rank(b); });
  PlanChoice best = choices.front();
  std::string first = fmt::format("{}: {}", best.plan.name, figures(best, timed));
  if (choices.size() > 1) {
    first += fmt::format("; next best {}: {}", choices[1].plan.name, figures(choices[1], timed));
  }
  if (!timed) first += " (no bandwidth given: fewest bytes)";
  best.why = {std::move(first), knobs_line(best.plan, request)};
  return best;
}

}  // namespace airlock
