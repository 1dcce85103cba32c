#include "airlock/report/advice.h"

#include <algorithm>

#include <fmt/format.h>

#include "airlock/plan/program.h"
#include "airlock/report/table.h"

namespace airlock {
namespace {
constexpr double kWorthMentioning = 0.05;  // of the bytes, or of the time
constexpr std::size_t kMostKnobs = 3;

/// Bytes of a slot over all passes and layers, as it travels under the run's plan.
double slot_bytes(const LedgerRun& run, Slot slot) {
  double bytes = 0;
  for (const SequenceLengths& sequence : run.sequences) {
    for (const Pass& pass : make_passes(run.plan, sequence.prompt, sequence.generated)) {
      TensorSpec spec = slot_spec(slot, run.config, pass, 0);
      spec.dtype = run.plan.wire_dtype;
      bytes += static_cast<double>(spec.bytes()) * static_cast<double>(run.config.layers);
    }
  }
  return bytes;
}

struct Candidate {
  Plan plan;
  std::string flags;
  std::string why;      ///< clause in front, e.g. "scores are 59 % of the bytes: "
  std::string caution;  ///< clause behind
  Traffic traffic;
};

std::string share_clause(const LedgerRun& run, std::int64_t total) {
  double matmul_bytes = 0;
  for (const OpTraffic& op : run.predict(run.plan).ops) {
    if (op.op == Op::kMatmul) matmul_bytes = static_cast<double>(op.sent_bytes + op.received_bytes);
  }
  const auto percent = [&](double bytes) { return 100 * bytes / static_cast<double>(total); };
  if (run.plan.attention == Attention::kMatmul) {
    // Scores come back, and go out again as probabilities.
    return fmt::format(
        "attention's Matmul calls are {:.0f} % of the bytes, scores alone {:.0f} %: ",
        percent(matmul_bytes), percent(2 * slot_bytes(run, Slot::kScores)));
  }
  if (run.plan.attention == Attention::kFused) {
    return fmt::format("keys and values repeated to all heads are {:.0f} % of the bytes: ",
                       percent(2 * slot_bytes(run, Slot::kKRows)));
  }
  return "";
}

std::vector<Candidate> one_knob_away(const LedgerRun& run, std::int64_t total) {
  std::vector<Candidate> list;
  const auto add = [&](auto change, std::string flags, std::string why, std::string caution) {
    Plan plan = run.plan;
    change(plan);
    if (plan == run.plan) return;
    list.push_back({plan, std::move(flags), std::move(why), std::move(caution), {}});
  };
  const std::string attention = share_clause(run, total);
  add([](Plan& p) { p.attention = Attention::kFlash; }, "--attention flash", attention, "");
  add([](Plan& p) { p.attention = Attention::kRunner; }, "--attention runner", "",
      ", but attention then takes the runner's processor");
  add(
      [](Plan& p) {
        p.attention = Attention::kBlock;
        p.mlp = Mlp::kBlock;
      },
      "--attention block --mlp block", "", "");
  if (run.plan.wire_dtype == DType::kF32) {
    add([](Plan& p) { p.wire_dtype = DType::kBF16; }, "--wire-dtype bf16", "",
        ", but what crosses keeps 8 significant bits");
  }
  return list;
}

Advice describe(const Candidate& candidate, std::int64_t total) {
  const std::int64_t bytes = candidate.traffic.total_bytes();
  const double cut = 1 - static_cast<double>(bytes) / static_cast<double>(total);
  return {fmt::format("{}`{}` would send {:.1f} % less, {} in {} calls{}", candidate.why,
                      candidate.flags, cut * 100, mib_text(bytes), candidate.traffic.calls(),
                      candidate.caution),
          candidate.flags, candidate.traffic.calls(), bytes};
}

void advise_bytes(const LedgerRun& run, std::int64_t total, std::vector<Advice>& advice) {
  if (run.plan.ring()) return;  // what sends less shows the worker more, or checks less
  const auto worth = [&](const Candidate& c) {
    return static_cast<double>(c.traffic.total_bytes()) <
           static_cast<double>(total) * (1 - kWorthMentioning);
  };
  const auto fewer = [](const Candidate& a, const Candidate& b) {
    return a.traffic.total_bytes() < b.traffic.total_bytes();
  };
  std::vector<Candidate> knobs = one_knob_away(run, total);
  for (Candidate& c : knobs) c.traffic = run.predict(c.plan);
  std::erase_if(knobs, [&](const Candidate& c) { return !worth(c); });
  std::sort(knobs.begin(), knobs.end(), fewer);
  if (knobs.size() > kMostKnobs) knobs.resize(kMostKnobs);
  for (const Candidate& c : knobs) advice.push_back(describe(c, total));

  std::vector<Candidate> presets;
  for (Plan plan : preset_plans()) {
    if (plan.ring()) continue;
    const std::string flags = "--plan " + plan.name;
    plan.embedding = run.plan.embedding;
    plan.lm_head = run.plan.lm_head;
    plan.chunk = run.plan.chunk;
    presets.push_back({plan, flags, "all together: ", "", run.predict(plan)});
  }
  const auto best = std::min_element(presets.begin(), presets.end(), fewer);
  if (best == presets.end() || !worth(*best)) return;
  if (!knobs.empty() && knobs.front().traffic.total_bytes() <= best->traffic.total_bytes()) return;
  advice.push_back(describe(*best, total));
}

void advise_time(const Summary& summary, std::vector<Advice>& advice) {
  const Totals& all = summary.all;
  if (summary.wall_ms <= 0 || all.calls == 0) return;
  const double link_ms = all.encode_ms + all.send_ms + all.receive_ms + all.decode_ms;
  const double share = link_ms / summary.wall_ms;
  const auto percent = [&](double ms) { return 100 * ms / summary.wall_ms; };
  if (share < 0.25) {
    advice.push_back({fmt::format("crossing takes {:.0f} % of the time, the worker {:.0f} % and "
                                  "the runner {:.0f} %: fewer bytes can save that {:.0f} % at most",
                                  percent(link_ms), percent(all.worker_ms),
                                  percent(summary.between_ms), percent(link_ms)),
                      "", 0, 0});
  } else {
    advice.push_back(
        {fmt::format("crossing takes {:.0f} % of the time (encode {:.0f}, send {:.0f}, "
                     "receive {:.0f}, decode {:.0f})",
                     percent(link_ms), percent(all.encode_ms), percent(all.send_ms),
                     percent(all.receive_ms), percent(all.decode_ms)),
         "", 0, 0});
  }
  const double mean = static_cast<double>(all.bytes()) / static_cast<double>(all.calls);
  if (mean < 64 * 1024 && share > kWorthMentioning) {
    advice.push_back(
        {fmt::format("calls carry {} on average and cost {} beyond the worker: the number of calls "
                     "weighs more than their bytes",
                     bytes_text(mean), ms_text(link_ms / static_cast<double>(all.calls))),
         "", 0, 0});
  }
}
}  // namespace

std::vector<Advice> advise(const Summary& summary, const LedgerRun* run) {
  std::vector<Advice> advice;
  if (summary.all.bytes() > 0 && run != nullptr && run->predict(run->plan) == summary.traffic()) {
    advise_bytes(*run, summary.all.bytes(), advice);
  }
  advise_time(summary, advice);
  return advice;
}

}  // namespace airlock
