#include "airlock/engine/measure.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"
#include "airlock/engine/engine.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

std::vector<std::int64_t> fixed_ids(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  // A multiplicative walk spreads the rows of the embedding that are touched.
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int64_t>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  }
  return ids;
}

/// Sequences of one engine that all run the same tokens.
struct Runs {
  Runs(const RunnerModel& model, const Plan& plan, const Endpoint& endpoint, int count,
       const StopToken& stop)
      : engine(model, plan, endpoint, {.stop = stop}) {
    for (int i = 0; i < count; ++i) sequences.push_back(engine.open());
    for (Sequence& sequence : sequences) feeds.push_back({&sequence, {}, 1});
  }

  /// One token takes memory that is kept: it is not what a prefill takes.
  void warm_up(std::span<const std::int64_t> ids) {
    sequences.front().rewind(0);
    engine.prefill(sequences.front(), ids.first(1));
  }
  /// Prefills each with the first `prompt` of `ids`, then feeds all the rest side by side. Gives
  /// ms in all, and of the rest.
  std::pair<double, double> run(std::span<const std::int64_t> ids, std::int64_t prompt) {
    const auto begin = Clock::now();
    for (Sequence& sequence : sequences) {
      sequence.rewind(0);
      engine.prefill(sequence, ids.first(static_cast<std::size_t>(prompt)));
    }
    const auto prefilled = Clock::now();
    for (std::size_t at = static_cast<std::size_t>(prompt); at < ids.size(); ++at) {
      for (Feed& feed : feeds) feed.ids = ids.subspan(at, 1);
      engine.run(feeds);
    }
    const auto end = Clock::now();
    using Ms = std::chrono::duration<double, std::milli>;
    return {Ms(end - begin).count(), Ms(end - prefilled).count()};
  }

  Engine engine;
  std::vector<Sequence> sequences;
  std::vector<Feed> feeds;
};

/// What the same cores run without a worker: for exact products, the float ones.
Plan reference_plan(const Plan& plan) {
  return plan.ring() ? find_plan("runner-attention") : plan;
}

Traffic traffic_of(const std::vector<LedgerEntry>& entries) {
  Traffic traffic;
  for (const LedgerEntry& entry : entries) {
    if (prepares(entry.op)) continue;
    traffic.add(entry.op, entry.sent_bytes, entry.received_bytes);
  }
  return traffic;
}
}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {values.front(), median, values.back()};
}

Measurement measure(const RunnerModel& model, const Fingerprint& fingerprint, const Plan& asked,
                    const WorkerOptions& worker, const MeasureOptions& options,
                    Operators* reference) {
  const ModelConfig& config = model.config();
  require(options.repetitions >= 1, ErrorCode::kInvalidArgument,
          "{} repetitions, expected at least 1", options.repetitions);
  require(options.sequences >= 1 && options.sequences <= kMaxRanges, ErrorCode::kInvalidArgument,
          "{} sequences, expected 1 to {}", options.sequences, kMaxRanges);
  check_tokens(config, options.tokens, options.generated);
  const std::int64_t fed = options.tokens + std::max<std::int64_t>(options.generated, 1) - 1;
  const auto ids = fixed_ids(fed, config.vocab);

  Measurement result;
  result.plan = asked;
  result.repetitions = options.repetitions;
  result.shape = worker.link.shape;
  MemoryLedger ledger;
  WorkerOptions wanted = worker;
  wanted.client.lanes = options.choose ? HelloMessage::kMaxLanes : lanes_for(worker.lanes, asked);
  WorkerSession session(model, fingerprint, wanted, &ledger);
  if (options.choose) {
    LiveRequest request = *options.choose;
    request.prompt = options.tokens;
    request.generated = options.generated;
    PlanChoice choice = choose_live_plan(model, session, request);
    result.plan = std::move(choice.plan);
    result.why = std::move(choice.why);
  }
  const Plan& plan = result.plan;
  result.lanes = session.lanes();
  result.ran = {options.sequences, options.tokens, options.generated};
  result.predicted = predict_traffic(config, plan, result.ran);
  ledger.reserve(static_cast<std::size_t>(result.predicted.calls()));
  const ShieldedEndpoint shielded(plan, session, wanted, options.shield);
  Runs split(model, plan, shielded.endpoint(), options.sequences, worker.link.stop);
  std::optional<Runs> whole;
  if (reference != nullptr)
    whole.emplace(model, reference_plan(plan), *reference, options.sequences, worker.link.stop);
  split.warm_up(ids);
  if (whole) whole->warm_up(ids);
  (void)shielded.times();  // what it measures once is not the run's memory
  reset_peak_memory();
  const std::int64_t runner_before = process_memory().resident_bytes;
  const std::int64_t worker_before = session.stats().resident_bytes;

  std::vector<double> wall, decode, runner, worked, linked, referenced, pads, checks;
  for (int run = 0; run <= options.repetitions; ++run) {
    if (options.progress) options.progress(run, options.repetitions + 1);
    ledger.clear();
    if (options.pads_ahead && options.shield != nullptr) {
      options.shield->fill(fed * options.sequences);
    }
    const auto rows_used = [&] {
      return options.shield == nullptr ? 0 : options.shield->pad_stats().rows_used;
    };
    const std::int64_t rows_before = rows_used();
    const ShieldTimes before = shielded.times();
    const double local_before = split.engine.local_ms();
    const auto [wall_ms, decode_ms] = split.run(ids, options.tokens);
    result.pad_rows = rows_used() - rows_before;
    const double reference_ms = whole ? whole->run(ids, options.tokens).first : 0;
    const ShieldTimes after = shielded.times();
    const Traffic traffic = traffic_of(ledger.entries());
    if (run == 0) {
      result.traffic = traffic;
      continue;
    }
    require(traffic == result.traffic, ErrorCode::kInternal,
            "plan {}: a repetition moved {} bytes, the one before {}", plan.name,
            traffic.total_bytes(), result.traffic.total_bytes());
    double codec_ms = 0, worker_ms = 0, link_ms = 0;
    for (const LedgerEntry& entry : ledger.entries()) {
      codec_ms += entry.encode_ms + entry.decode_ms;
      worker_ms += entry.worker_ms;
      link_ms += entry.send_ms + entry.receive_ms;
    }
    wall.push_back(wall_ms);
    decode.push_back(decode_ms);
    pads.push_back(after.pad_ms - before.pad_ms);
    checks.push_back(after.check_ms - before.check_ms);
    runner.push_back(split.engine.local_ms() - local_before + codec_ms + pads.back() +
                     checks.back() + after.convert_ms - before.convert_ms);
    worked.push_back(worker_ms);
    linked.push_back(link_ms);
    if (whole) referenced.push_back(reference_ms);
  }
  result.ledger = ledger.entries();
  result.link = result.ledger.empty() ? "" : result.ledger.front().link;
  for (const LedgerEntry& entry : result.ledger) {
    result.overhead_bytes += entry.overhead_bytes;
    result.wire_bytes += entry.sent_wire_bytes + entry.received_wire_bytes;
  }
  result.wall_ms = spread_of(wall);
  result.tokens_per_second =
      static_cast<double>(fed * options.sequences) / result.wall_ms.median * 1e3;
  if (fed > options.tokens) {
    result.decode_tokens_per_second =
        static_cast<double>((fed - options.tokens) * options.sequences) / spread_of(decode).median *
        1e3;
  }
  result.runner_ms = spread_of(runner).median;
  result.worker_ms = spread_of(worked).median;
  result.link_ms = spread_of(linked).median;
  result.pad_ms = std::max(0.0, spread_of(pads).median);  // no -0
  result.check_ms = std::max(0.0, spread_of(checks).median);
  if (options.shield != nullptr) {
    const PadStats pads_made = options.shield->pad_stats();
    result.prepared_bytes = pads_made.prepared_sent + pads_made.prepared_received;
  }
  result.reference_ms = spread_of(referenced);
  if (whole) result.slowdown = result.wall_ms.median / result.reference_ms.median;
  result.worker_peak_bytes = session.stats().peak_resident_bytes;
  result.worker_extra_bytes = result.worker_peak_bytes - worker_before;
  result.runner_extra_bytes = process_memory().peak_bytes - runner_before;
  return result;
}

}  // namespace airlock
