#include "cli/bench_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "airlock/plan/worker_sees.h"
#include "airlock/report/plan_table.h"

namespace airlock {
namespace {

std::string spread_json(const Spread& spread) {
  return fmt::format(R"({{"min":{:.3f},"median":{:.3f},"max":{:.3f}}})", spread.min, spread.median,
                     spread.max);
}

Cell milliseconds(double value) {
  return Cell::fixed(value, 1);
}

}  // namespace

Table bench_table(const std::string& model, std::int64_t tokens,
                  const std::vector<Measurement>& measurements) {
  using Align = Table::Align;
  const bool referenced = !measurements.empty() && measurements.front().slowdown > 0;
  const bool shaped = !measurements.empty() && measurements.front().shape.has_value();
  const bool compressed =
      std::any_of(measurements.begin(), measurements.end(),
                  [](const Measurement& m) { return m.wire_bytes < m.traffic.total_bytes(); });
  const auto any = [&](auto member, auto least) {
    return std::any_of(measurements.begin(), measurements.end(),
                       [&](const Measurement& m) { return m.*member > least; });
  };
  const bool together = std::any_of(measurements.begin(), measurements.end(),
                                    [](const Measurement& m) { return m.ran.sequences > 1; });
  const auto any_plan = [&](auto holds) {
    return std::any_of(measurements.begin(), measurements.end(),
                       [&](const Measurement& m) { return holds(m.plan); });
  };
  const bool masked = any_plan([](const Plan& plan) { return plan.mask == Mask::kPads; });
  const bool checked = any_plan([](const Plan& plan) { return plan.verify; });
  const bool decoded = any(&Measurement::decode_tokens_per_second, 0.0);
  std::vector<Table::Column> columns = {
      {"plan", "plan", Align::kLeft},
      {"link", "link", Align::kLeft},
      {shaped ? "shape" : "", "shape", Align::kLeft},
      {"wire", "wire_dtype", Align::kLeft},
      {"calls", "calls"},
      {"sent", "sent_bytes"},
      {"received", "received_bytes"},
      {"total MiB", "total_bytes"},
      {"", "predicted_total_bytes"},
      {"overhead", "overhead_bytes"},
      {"wall ms", "wall_ms_median"},
      {"min-max", ""},
      {"tok/s", "tokens_per_second"},
      {decoded ? "decode tok/s" : "", "decode_tokens_per_second"},
      {together ? "sequences" : "", "sequences"},
      {"runner", "runner_ms"},
      {"worker", "worker_ms"},
      {"link", "link_ms"},
      {masked ? "pads" : "", "pad_ms"},
      {checked ? "checks" : "", "check_ms"},
      {"", "prepared_bytes"},
      {masked ? "pad rows" : "", "pad_rows"},
      {"peak MiB", "worker_peak_bytes"},
      {"+MiB worker", "worker_extra_bytes"},
      {"+MiB runner", "runner_extra_bytes"},
      {"lanes", "lanes"},
      {compressed ? "wire MiB" : "", "wire_bytes"},
      {"worker sees", "worker_sees", Align::kLeft},
      {"", "assumes", Align::kLeft},
      {"", "model", Align::kLeft},
      {"", "tokens"},
      {"", "repetitions"},
      {"", "wall_ms", Align::kLeft, true},
      {"", "ops", Align::kLeft, true},
  };
  if (referenced) {
    const auto at = columns.begin() + 15;
    columns.insert(at, {{"in-process", "reference_ms"}, {"slowdown", "slowdown"}});
  }
  Table table(std::move(columns));
  for (const Measurement& m : measurements) {
    std::vector<Cell> cells = {
        m.plan.name,
        m.link,
        m.shape ? Cell(to_string(*m.shape)) : Cell(),
        dtype_name(m.plan.wire_dtype),
        m.traffic.calls(),
        m.traffic.sent_bytes(),
        m.traffic.received_bytes(),
        Cell::mib(m.traffic.total_bytes()),
        m.predicted.total_bytes(),
        m.overhead_bytes,
        milliseconds(m.wall_ms.median),
        fmt::format("{:.0f}-{:.0f}", m.wall_ms.min, m.wall_ms.max),
        milliseconds(m.tokens_per_second),
        milliseconds(m.decode_tokens_per_second),
        std::int64_t{m.ran.sequences},
        milliseconds(m.runner_ms),
        milliseconds(m.worker_ms),
        milliseconds(m.link_ms),
        milliseconds(m.pad_ms),
        milliseconds(m.check_ms),
        m.prepared_bytes,
        m.pad_rows,
        Cell::mib(m.worker_peak_bytes),
        Cell::mib(m.worker_extra_bytes),
        Cell::mib(m.runner_extra_bytes),
        std::int64_t{m.lanes},
        compressed ? Cell::mib(m.wire_bytes) : Cell(m.wire_bytes),
        Cell::words(worker_sees(m.plan)),
        Cell::words(plan_assumes(m.plan)),
        model,
        tokens,
        std::int64_t{m.repetitions},
        Cell::json(spread_json(m.wall_ms)),
        Cell::json(ops_json(m.traffic)),
    };
    if (referenced) {
      cells.insert(cells.begin() + 15,
                   {milliseconds(m.reference_ms.median), Cell::fixed(m.slowdown, 3)});
    }
    table.add(std::move(cells));
  }
  return table;
}

}  // namespace airlock
