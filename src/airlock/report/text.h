// Reports for a terminal, a document or a program: one run, or several side by side.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "airlock/report/advice.h"
#include "airlock/report/ledger_file.h"
#include "airlock/report/ledger_run.h"
#include "airlock/report/summary.h"
#include "airlock/report/table.h"

namespace airlock {

/// One run with what was found out about it.
struct Report {
  std::string name;  ///< the ledger's file name, or the plan's
  Summary summary;
  std::optional<LedgerHeader> header;  ///< what the ledger says it is of
  std::optional<LedgerRun> run;        ///< if the calls can be those of that model and plan
  std::optional<Traffic> predicted;    ///< of that run
  std::vector<Advice> advice;
};

/// Summary, prediction and advice of a ledger; of one that does not say its plan, the summary and
/// what the times advise. With a `known` configuration the prediction is made from that, not from
/// the ledger's.
Report make_report(std::string name, const Ledger& ledger, const ModelConfig* known = nullptr);

/// Calls, bytes and times of each operator; with a prediction, its bytes and calls beside them.
/// Text and markdown show the bytes, CSV and JSON the times as well.
Table operator_table(const Summary& summary, const std::optional<Traffic>& predicted);
/// Where the time of each operator went.
Table time_table(const Summary& summary);
Table layer_table(const Summary& summary);
Table calls_table(std::span<const LedgerEntry> entries);
/// Operators and totals of several runs side by side, with the ratio of each to the first.
Table compare_table(std::span<const Report> reports);

/// "prediction: equal, 98 calls and 7323784192 bytes" or by how much it differs, and where.
std::string verdict(const Summary& summary, const Traffic& predicted);

/// The operators of one run with its totals and, if predicted, the verdict: what `run` and `bench`
/// print at their end.
std::string render(const Summary& summary, const std::optional<Traffic>& predicted,
                   TableFormat format = TableFormat::kText);
/// A whole report. CSV has the operators only; JSON is one object with everything.
std::string render(const Report& report, TableFormat format);
/// Several runs side by side. JSON is an array of the objects of `render(report)`.
std::string render(std::span<const Report> reports, TableFormat format);

}  // namespace airlock
