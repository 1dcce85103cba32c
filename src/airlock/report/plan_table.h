// The table `airlock plan` prints: what plans would send, and how long a link would take for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "airlock/plan/cost.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"
#include "airlock/report/table.h"

namespace airlock {

struct PlanRow {
  Plan plan;
  Traffic traffic;
  std::optional<Stages> time;       ///< calls one after the other
  std::int64_t prepared_bytes = 0;  ///< of hints and dealt pads: shield/prepared.h says which
  std::int64_t pad_rows = 0;        ///< used up: shield/prepared.h
};

/// Columns plan, wire, calls, sent, received, total MiB, then the time on the link (and, with
/// `compute`, in all) where rows have one, and what the worker sees. CSV and JSON have the
/// contract's keys, with "ops" in JSON only, "generated" if any tokens are, and "link_ms" and
/// "estimated_ms" where rows have a time.
Table plan_table(std::span<const PlanRow> rows, const std::string& model, std::int64_t tokens,
                 std::int64_t generated, bool compute);

/// Operators of one plan as the contract's JSON array.
std::string ops_json(const Traffic& traffic);

}  // namespace airlock
