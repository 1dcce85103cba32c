#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/report/text.h"

namespace airlock {

Report make_report(std::string name, const Ledger& ledger, const ModelConfig* known) {
  Report report;
  report.name = std::move(name);
  report.summary = summarize(ledger.entries);
  report.header = ledger.header;
  if (report.header) {
    const Plan& plan = report.header->plan;
    report.run = find_run(known != nullptr ? *known : report.header->config, plan, ledger.entries,
                          report.header->sequences);
    try {
      if (report.run) report.predicted = report.run->predict(plan);
      report.advice = advise(report.summary, report.run ? &*report.run : nullptr);
      return report;
    } catch (const Error&) {  // a model so large that its bytes cannot be added up
      report.run.reset();
      report.predicted.reset();
    }
  }
  report.advice = advise(report.summary, nullptr);
  return report;
}

std::string verdict(const Summary& summary, const Traffic& predicted) {
  const Traffic measured = summary.traffic();
  if (measured == predicted) {
    return fmt::format("prediction: equal, {} calls and {} bytes, operator for operator",
                       measured.calls(), measured.total_bytes());
  }
  std::string text = fmt::format("prediction: measured differs by {:+} bytes and {:+} calls",
                                 measured.total_bytes() - predicted.total_bytes(),
                                 measured.calls() - predicted.calls());
  std::string separator = " (";
  for (unsigned i = 0; i < kOpCount; ++i) {
    const auto find = [i](const Traffic& traffic) {
      for (const OpTraffic& op : traffic.ops) {
        if (op.op == static_cast<Op>(i)) return op;
      }
      return OpTraffic{static_cast<Op>(i), 0, 0, 0};
    };
    const OpTraffic m = find(measured);
    const OpTraffic p = find(predicted);
    if (m == p) continue;
    text += fmt::format("{}{}: {:+} sent, {:+} received", separator, op_name(m.op),
                        m.sent_bytes - p.sent_bytes, m.received_bytes - p.received_bytes);
    separator = "; ";
  }
  return text + ")";
}

}  // namespace airlock
