#include "airlock/report/plan_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "airlock/plan/worker_sees.h"

namespace airlock {

std::string ops_json(const Traffic& traffic) {
  std::string text(1, '[');
  for (const OpTraffic& op : traffic.ops) {
    text += fmt::format(R"({}{{"op": "{}", "calls": {}, "sent_bytes": {}, "received_bytes": {}}})",
                        text.size() > 1 ? ", " : "", op_name(op.op), op.calls, op.sent_bytes,
                        op.received_bytes);
  }
  return text + ']';
}

Table plan_table(std::span<const PlanRow> rows, const std::string& model, std::int64_t tokens,
                 std::int64_t generated, bool compute) {
  using Align = Table::Align;
  const bool timed = std::any_of(rows.begin(), rows.end(),
                                 [](const PlanRow& row) { return row.time.has_value(); });
  const bool prepared = std::any_of(
      rows.begin(), rows.end(), [](const PlanRow& row) { return row.plan.mask == Mask::kPads; });
  const auto title = [](bool wanted, const char* text) { return wanted ? text : ""; };
  Table table({{"plan", "plan", Align::kLeft},
               {"", "model"},
               {"", "tokens"},
               {"wire", "wire_dtype", Align::kLeft},
               {"calls", "calls"},
               {"sent", "sent_bytes"},
               {"received", "received_bytes"},
               {"total MiB", "total_bytes"},
               {title(timed, "ms on link"), ""},
               {title(timed && compute, "ms in all"), ""},
               {title(prepared, "prepared MiB"), "prepared_bytes"},
               {title(prepared, "pad rows"), "pad_rows"},
               {"worker sees", "worker_sees", Align::kLeft},
               {title(prepared, "assumes"), "assumes", Align::kLeft},
               {"", "ops", Align::kLeft, true},
               {"", title(generated > 0, "generated")},
               {"", title(timed, "link_ms")},
               {"", title(timed, "estimated_ms")}});
  for (const PlanRow& row : rows) {
    const Traffic& t = row.traffic;
    const auto ms = [&](bool all, int digits) {
      if (!row.time) return Cell();
      return Cell::fixed(all ? row.time->one_after_the_other() : row.time->link_ms(), digits);
    };
    table.add({row.plan.name, model, tokens, dtype_name(row.plan.wire_dtype), t.calls(),
               t.sent_bytes(), t.received_bytes(), Cell::mib(t.total_bytes()), ms(false, 1),
               ms(true, 1), Cell::mib(row.prepared_bytes), row.pad_rows,
               Cell::words(worker_sees(row.plan)), Cell::words(plan_assumes(row.plan)),
               Cell::json(ops_json(t)), generated, ms(false, 6), ms(true, 6)});
  }
  return table;
}

}  // namespace airlock
