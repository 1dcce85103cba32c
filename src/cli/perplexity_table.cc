#include "cli/perplexity_table.h"

#include <cmath>

namespace airlock {
namespace {

/// Rounded as it is shown, so that rounding alone never prints as -0.0000.
Cell change_percent(double measured, double expected) {
  constexpr double kSteps = 1e4;
  const double percent = (measured / expected - 1) * 100;
  return Cell::fixed(std::round(percent * kSteps) / kSteps + 0.0, 4);
}

}  // namespace

Table perplexity_table(const PerplexityHeading& heading, const PerplexityResult& result) {
  using Align = Table::Align;
  Table table({{"plan", "plan", Align::kLeft},
               {"wire", "wire_dtype", Align::kLeft},
               {"products", "compute_dtype", Align::kLeft},
               {"", "calls"},
               {"", "sent_bytes"},
               {"", "received_bytes"},
               {"MiB", "total_bytes"},
               {"perplexity", "perplexity"},
               {"change %", "perplexity_change_percent"},
               {"same top-1 %", "top1_agreement_percent"},
               {"mean KL, nats", "mean_kl"},
               {"", "windows"},
               {"", "window"},
               {"", "stride"},
               {"", "tokens"},
               {"", "model", Align::kLeft},
               {"", "text", Align::kLeft}});
  const double expected = result.reference.perplexity();
  const auto add = [&](std::vector<Cell> cells, const Quality& quality) {
    cells.insert(cells.end(), {Cell::fixed(quality.perplexity(), 4),
                               change_percent(quality.perplexity(), expected),
                               Cell::fixed(quality.agreement() * 100, 2),
                               Cell::fixed(quality.mean_kl(), 9), result.windows, heading.window,
                               heading.stride, quality.tokens, heading.model, heading.text});
    table.add(std::move(cells));
  };
  add({"in one process", Cell(), dtype_name(DType::kF32), Cell(), Cell(), Cell(), Cell()},
      result.reference);
  for (const PlanQuality& row : result.plans) {
    const Traffic& traffic = row.traffic;
    add({row.plan.name, dtype_name(row.plan.wire_dtype), dtype_name(heading.compute_dtype),
         traffic.calls(), traffic.sent_bytes(), traffic.received_bytes(),
         Cell::mib(traffic.total_bytes())},
        row.quality);
  }
  return table;
}

Table token_table(const PerplexityResult& result, std::span<const std::int64_t> text,
                  TokenPieces& pieces) {
  using Align = Table::Align;
  std::vector<Table::Column> columns = {{"position", "position"},
                                        {"token", "token"},
                                        {"text", "text", Align::kLeft},
                                        {"in one process", "reference_nll"}};
  std::vector<const Quality*> measured = {&result.reference};
  for (const PlanQuality& row : result.plans) {
    const std::string wire(dtype_name(row.plan.wire_dtype));
    columns.push_back({row.plan.name + " " + wire, "nll_" + row.plan.name + "_" + wire});
    measured.push_back(&row.quality);
  }
  Table table(std::move(columns));
  // All are scored but, where no BOS comes before it, the first.
  const std::size_t scored = result.reference.token_nll.size();
  const std::size_t first = text.size() - scored;
  for (std::size_t i = 0; i < scored; ++i) {
    const std::int64_t id = text[first + i];
    std::vector<Cell> cells = {static_cast<std::int64_t>(first + i), id,
                               Cell::quoted(pieces.text(id))};
    for (const Quality* quality : measured) cells.push_back(Cell::fixed(quality->token_nll[i], 6));
    table.add(std::move(cells));
  }
  return table;
}

}  // namespace airlock
