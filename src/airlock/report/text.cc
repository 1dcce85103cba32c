#include "airlock/report/text.h"

#include <algorithm>

#include <fmt/format.h>

#include "airlock/core/terminal.h"
#include "airlock/plan/worker_sees.h"
#include "airlock/report/json.h"

namespace airlock {
namespace {
using Align = Table::Align;

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

Cell call_place(const LedgerEntry& e) {
  return e.layer < 0 ? Cell() : Cell(std::int64_t{e.layer});
}

const OpTraffic* find(const std::optional<Traffic>& traffic, Op op) {
  if (!traffic) return nullptr;
  for (const OpTraffic& t : traffic->ops) {
    if (t.op == op) return &t;
  }
  return nullptr;
}

std::string heading(std::string_view text, TableFormat format) {
  return format == TableFormat::kMarkdown ? fmt::format("\n### {}\n\n", text)
                                          : fmt::format("\n{}\n", text);
}

std::string paragraph(std::string_view text, TableFormat format) {
  return fmt::format("{}{}\n", text, format == TableFormat::kMarkdown ? "  " : "");
}

Table stage_table(const Summary& summary) {
  Table table({{"stage", "stage", Align::kLeft}, {"ms", "ms"}, {"share", "share"}});
  for (const StageTime& stage : summary.stages()) {
    table.add(
        {stage.name, Cell::fixed(stage.ms, 3), Cell::percent(ratio(stage.ms, summary.wall_ms))});
  }
  return table;
}

std::string totals_lines(const Summary& summary, TableFormat format) {
  const Totals& all = summary.all;
  std::string out = paragraph(
      fmt::format("{} calls: {} bytes sent, {} received, {}; {} bytes of framing", all.calls,
                  all.sent_bytes, all.received_bytes, mib_text(all.bytes()), all.overhead_bytes),
      format);
  if (all.wire_bytes < all.bytes()) {
    out +=
        paragraph(fmt::format("compressed to {} on the link, {:.2f} times fewer bytes",
                              mib_text(all.wire_bytes),
                              static_cast<double>(all.bytes()) /
                                  static_cast<double>(std::max<std::int64_t>(all.wire_bytes, 1))),
                  format);
  }
  out += paragraph(
      fmt::format("{} in calls of {}: {:.1f} MB/s (payload of both directions over time in calls)",
                  ms_text(all.total_ms), ms_text(summary.wall_ms), all.megabytes_per_second()),
      format);
  return out;
}

/// "model tiny (0123456789ab), 16 layers of 2048, …, plan baseline: 1024 prompt tokens and …".
std::string run_line(const Report& report) {
  const LedgerHeader& header = *report.header;
  const ModelConfig& config = report.run ? report.run->config : header.config;
  std::string text = fmt::format(
      "model {} ({}), {} layers of {}, q {}, kv {}, ffn {}, vocabulary {}; plan {}",
      shown_line(header.model), shown_line(header.fingerprint), config.layers, config.hidden,
      config.q_dim(), config.kv_dim(), config.ffn, config.vocab, shown_line(header.plan.name));
  if (!report.run) return text;
  std::int64_t prompt = 0;
  std::int64_t generated = 0;
  for (const SequenceLengths& s : report.run->sequences)
    prompt += s.prompt, generated += s.generated;
  text += fmt::format(": {} prompt tokens, {} generated", prompt, generated);
  if (report.run->sequences.size() > 1) {
    text += fmt::format(" in {} sequences{}", report.run->sequences.size(),
                        report.run->side_by_side ? " side by side" : "");
  }
  return text;
}
}  // namespace

Table operator_table(const Summary& summary, const std::optional<Traffic>& predicted) {
  const bool both = predicted.has_value();
  const auto shown = [both](std::string title) { return both ? std::move(title) : std::string(); };
  Table table({{"op", "op", Align::kLeft},
               {"calls", "calls"},
               {"sent", "sent_bytes"},
               {"received", "received_bytes"},
               {"share", "share"},
               {"bytes/call", "bytes_per_call"},
               {"framing", "overhead_bytes"},
               {shown("predicted calls"), shown("predicted_calls")},
               {shown("predicted sent"), shown("predicted_sent_bytes")},
               {shown("predicted received"), shown("predicted_received_bytes")},
               {"", "encode_ms"},
               {"", "send_ms"},
               {"", "worker_ms"},
               {"", "receive_ms"},
               {"", "decode_ms"},
               {"", "total_ms"},
               {"", "time_share"}});
  const auto row = [&](Cell name, const Totals& t, const OpTraffic* p) {
    std::vector<Cell> cells = {std::move(name),
                               t.calls,
                               t.sent_bytes,
                               t.received_bytes,
                               Cell::percent(ratio(static_cast<double>(t.bytes()),
                                                   static_cast<double>(summary.all.bytes()))),
                               t.calls > 0 ? t.bytes() / t.calls : 0,
                               t.overhead_bytes,
                               both ? Cell(p != nullptr ? p->calls : 0) : Cell(),
                               both ? Cell(p != nullptr ? p->sent_bytes : 0) : Cell(),
                               both ? Cell(p != nullptr ? p->received_bytes : 0) : Cell()};
    for (const double ms :
         {t.encode_ms, t.send_ms, t.worker_ms, t.receive_ms, t.decode_ms, t.total_ms}) {
      cells.push_back(Cell::fixed(ms, 6));
    }
    cells.push_back(Cell::percent(ratio(t.total_ms, summary.all.total_ms)));
    return cells;
  };
  for (const OpTotals& op : summary.ops) {
    table.add(row(op_name(op.op), op.totals, find(predicted, op.op)));
  }
  if (predicted) {  // operators that should have been called
    for (const OpTraffic& p : predicted->ops) {
      const bool called = std::any_of(summary.ops.begin(), summary.ops.end(),
                                      [&](const OpTotals& op) { return op.op == p.op; });
      if (!called) table.add(row(op_name(p.op), {}, &p));
    }
  }
  OpTraffic sum;
  if (predicted) {
    sum = {Op::kInit, predicted->calls(), predicted->sent_bytes(), predicted->received_bytes()};
  }
  table.add_total(row("total", summary.all, &sum));
  return table;
}

Table time_table(const Summary& summary) {
  Table table({{"op", "op", Align::kLeft},
               {"ms", "total_ms"},
               {"share", "time_share"},
               {"encode", "encode_ms"},
               {"send", "send_ms"},
               {"worker", "worker_ms"},
               {"receive", "receive_ms"},
               {"decode", "decode_ms"},
               {"ms/call", "ms_per_call"},
               {"MB/s", "megabytes_per_second"}});
  const auto row = [&](Cell name, const Totals& t) {
    std::vector<Cell> cells = {std::move(name), Cell::fixed(t.total_ms, 1),
                               Cell::percent(ratio(t.total_ms, summary.all.total_ms))};
    for (const double ms : {t.encode_ms, t.send_ms, t.worker_ms, t.receive_ms, t.decode_ms}) {
      cells.push_back(Cell::fixed(ms, 1));
    }
    cells.push_back(Cell::fixed(ratio(t.total_ms, static_cast<double>(t.calls)), 3));
    cells.push_back(Cell::fixed(t.megabytes_per_second(), 1));
    return cells;
  };
  for (const OpTotals& op : summary.ops) table.add(row(op_name(op.op), op.totals));
  table.add_total(row("total", summary.all));
  return table;
}

Table layer_table(const Summary& summary) {
  Table table({{"layer", "layer"},
               {"calls", "calls"},
               {"sent", "sent_bytes"},
               {"received", "received_bytes"},
               {"share", "share"},
               {"ms", "total_ms"},
               {"worker ms", "worker_ms"}});
  for (const LayerTotals& layer : summary.layers) {
    const Totals& t = layer.totals;
    table.add({layer.layer < 0 ? Cell("none") : Cell(std::int64_t{layer.layer}), t.calls,
               t.sent_bytes, t.received_bytes,
               Cell::percent(
                   ratio(static_cast<double>(t.bytes()), static_cast<double>(summary.all.bytes()))),
               Cell::fixed(t.total_ms, 3), Cell::fixed(t.worker_ms, 3)});
  }
  return table;
}

Table calls_table(std::span<const LedgerEntry> entries) {
  Table table({{"call", "call"},
               {"op", "op", Align::kLeft},
               {"layer", "layer"},
               {"sent", "sent_bytes"},
               {"received", "received_bytes"},
               {"ms", "total_ms"},
               {"encode", "encode_ms"},
               {"send", "send_ms"},
               {"worker", "worker_ms"},
               {"receive", "receive_ms"},
               {"decode", "decode_ms"}});
  for (const LedgerEntry& e : entries) {
    std::vector<Cell> cells = {e.call, op_name(e.op), call_place(e), e.sent_bytes,
                               e.received_bytes};
    for (const double ms :
         {e.total_ms, e.encode_ms, e.send_ms, e.worker_ms, e.receive_ms, e.decode_ms}) {
      cells.push_back(Cell::fixed(ms, 3));
    }
    table.add(std::move(cells));
  }
  return table;
}

Table compare_table(std::span<const Report> reports) {
  std::vector<Table::Column> columns = {{"what", "what", Align::kLeft}};
  for (std::size_t i = 0; i < reports.size(); ++i) {
    columns.push_back({shown_line(reports[i].name), reports[i].name});
    if (i > 0) columns.push_back({"ratio", reports[i].name + " ratio"});
  }
  Table table(std::move(columns));
  const auto row = [&](std::string what, int digits, const auto& value) {
    std::vector<Cell> cells = {std::move(what)};
    const double first = value(reports[0].summary);
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const double v = value(reports[i].summary);
      cells.push_back(Cell::fixed(v, digits));
      if (i > 0) cells.push_back(first > 0 ? Cell::fixed(v / first, 3) : Cell());
    }
    table.add(std::move(cells));
  };
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  row("calls", 0, [&](const Summary& s) { return count(s.all.calls); });
  row("sent bytes", 0, [&](const Summary& s) { return count(s.all.sent_bytes); });
  row("received bytes", 0, [&](const Summary& s) { return count(s.all.received_bytes); });
  row("total MiB", 3, [&](const Summary& s) { return count(s.all.bytes()) / (1 << 20); });
  row("framing bytes", 0, [&](const Summary& s) { return count(s.all.overhead_bytes); });
  row("ms, first to last call", 1, [](const Summary& s) { return s.wall_ms; });
  row("ms in calls", 1, [](const Summary& s) { return s.all.total_ms; });
  row("ms encode", 1, [](const Summary& s) { return s.all.encode_ms; });
  row("ms send", 1, [](const Summary& s) { return s.all.send_ms; });
  row("ms worker", 1, [](const Summary& s) { return s.all.worker_ms; });
  row("ms receive", 1, [](const Summary& s) { return s.all.receive_ms; });
  row("ms decode", 1, [](const Summary& s) { return s.all.decode_ms; });
  row("ms between calls", 1, [](const Summary& s) { return s.between_ms; });
  row("MB/s", 1, [](const Summary& s) { return s.all.megabytes_per_second(); });
  for (unsigned i = 0; i < kOpCount; ++i) {
    const auto op = static_cast<Op>(i);
    const auto totals = [op](const Summary& s) {
      for (const OpTotals& o : s.ops) {
        if (o.op == op) return o.totals;
      }
      return Totals{};
    };
    const bool used = std::any_of(reports.begin(), reports.end(),
                                  [&](const Report& r) { return totals(r.summary).calls > 0; });
    if (!used) continue;
    const std::string name(op_name(op));
    row(name + " calls", 0, [&](const Summary& s) { return count(totals(s).calls); });
    row(name + " MiB", 3, [&](const Summary& s) { return count(totals(s).bytes()) / (1 << 20); });
    row(name + " ms", 1, [&](const Summary& s) { return totals(s).total_ms; });
  }
  return table;
}

std::string render(const Summary& summary, const std::optional<Traffic>& predicted,
                   TableFormat format) {
  const std::string table = operator_table(summary, predicted).render(format);
  if (format == TableFormat::kCsv || format == TableFormat::kJson) return table;
  std::string out = table + '\n' + totals_lines(summary, format);
  if (predicted) out += paragraph(verdict(summary, *predicted), format);
  return out;
}

std::string render(const Report& report, TableFormat format) {
  const Summary& summary = report.summary;
  if (format == TableFormat::kJson) return report_json(report);
  if (format == TableFormat::kCsv) return operator_table(summary, report.predicted).render(format);
  std::string out = format == TableFormat::kMarkdown
                        ? fmt::format("## {}\n\n", shown_line(report.name))
                        : fmt::format("{}\n", shown_line(report.name));
  std::vector<std::string> links;
  for (const std::string& link : summary.links) links.push_back(shown_line(link));
  std::vector<std::string_view> dtypes;
  for (const DType dtype : summary.wire_dtypes) dtypes.push_back(dtype_name(dtype));
  out += paragraph(fmt::format("link {}, wire {}", fmt::join(links, " "), fmt::join(dtypes, " ")),
                   format);
  if (report.header) {
    out += paragraph(run_line(report), format);
    const std::vector<std::string> seen = worker_sees(report.header->plan);
    out += paragraph(
        fmt::format("the worker saw: {}", seen.empty() ? "nothing in plaintext"
                                                       : fmt::format("{}", fmt::join(seen, ", "))),
        format);
  }
  out += heading("Bytes", format) + render(summary, report.predicted, format);
  if (summary.init.calls > 0) {
    out += paragraph(fmt::format("opening {} session(s) took {} and {} bytes (not counted above)",
                                 summary.init.calls, ms_text(summary.init.total_ms),
                                 summary.init.bytes() + summary.init.overhead_bytes),
                     format);
  }
  out += heading("Time of operators, ms", format) + time_table(summary).render(format);
  out += heading("Where the time went", format) + stage_table(summary).render(format);
  out += heading("Layers", format) + layer_table(summary).render(format);
  out += heading("Largest calls", format) + calls_table(summary.largest).render(format);
  out += heading("Slowest calls", format) + calls_table(summary.slowest).render(format);
  if (!report.advice.empty()) {
    out += heading("Advice", format);
    for (const Advice& advice : report.advice) out += fmt::format("- {}\n", advice.text);
  }
  return out;
}

std::string render(std::span<const Report> reports, TableFormat format) {
  if (reports.size() == 1 && format != TableFormat::kJson) return render(reports[0], format);
  if (format == TableFormat::kJson) {
    std::string out = "[\n";
    for (const Report& report : reports) {
      if (out.size() > 2) out += ",\n";
      out += report_json(report);
      out.pop_back();
    }
    return out + "\n]\n";
  }
  return compare_table(reports).render(format);
}

}  // namespace airlock
