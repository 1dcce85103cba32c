#include "airlock/report/html.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

#include "airlock/plan/worker_sees.h"
#include "airlock/report/page_assets.h"

namespace airlock {
namespace {
constexpr std::size_t kMostListed = 200;  // calls in the sortable table

template <typename... Args>
void append(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

double percent(double part, double whole) {
  return whole > 0 ? 100 * part / whole : 0;
}

double mib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

void segment(std::string& out, double share, std::string_view color, const std::string& title) {
  if (share <= 0) return;
  append(out, R"h(<div class="seg" style="width:{:.4f}%;background:var(--{})" title="{}"></div>)h",
         share, color, html_escape(title));
}

void legend_item(std::string& out, std::string_view color, const std::string& text) {
  append(out, R"h(<li><span class="swatch" style="background:var(--{})"></span>{}</li>)h", color,
         html_escape(text));
}

void card(std::string& out, std::string_view id, std::string_view key, const std::string& value,
          const std::string& exact) {
  append(
      out,
      R"h(<div class="card"><span class="k">{}</span><b{}>{}</b><span class="exact">{}</span></div>)h",
      html_escape(key), id.empty() ? "" : fmt::format(" id=\"{}\"", id), html_escape(value), exact);
}

/// A card whose exact number is what the stable id names.
void bytes_card(std::string& out, const std::string& id, std::string_view key, std::int64_t bytes) {
  card(out, "", key, mib_text(bytes), fmt::format("<span id=\"{}\">{}</span> bytes", id, bytes));
}

void totals(std::string& out, const Report& report, std::size_t index) {
  const Summary& s = report.summary;
  const std::string id = fmt::format("run-{}", index);
  out += "<div class=\"cards\">";
  bytes_card(out, id + "-total", "crossed", s.all.bytes());
  bytes_card(out, id + "-sent", "sent to the worker", s.all.sent_bytes);
  bytes_card(out, id + "-received", "received from it", s.all.received_bytes);
  card(
      out, id + "-calls", "calls", fmt::format("{}", s.all.calls),
      fmt::format("<span id=\"{}-overhead\">{}</span> bytes of framing", id, s.all.overhead_bytes));
  card(out, "", "first to last call", ms_text(s.wall_ms),
       fmt::format("{} of it in calls", html_escape(ms_text(s.all.total_ms))));
  card(out, "", "throughput", fmt::format("{:.1f} MB/s", s.all.megabytes_per_second()),
       "payload over time in calls");
  out += "</div>\n";
}

/// Escaped text with what stands between backticks as code.
std::string with_code(std::string_view text) {
  std::string out;
  bool code = false;
  for (const char c : html_escape(text)) {
    if (c == '`') {
      out += code ? "</code>" : "<code>";
      code = !code;
    } else {
      out += c;
    }
  }
  return code ? out + "</code>" : out;
}

void chips(std::string& out, const Report& report) {
  out += "<ul class=\"chips\">";
  const auto chip = [&](const std::string& text) { append(out, "<li>{}</li>", html_escape(text)); };
  if (report.header) {
    chip("model " + report.header->model);
    chip("plan " + report.header->plan.name);
  }
  for (const std::string& link : report.summary.links) chip("link " + link);
  for (const DType dtype : report.summary.wire_dtypes) {
    chip(fmt::format("wire {}", dtype_name(dtype)));
  }
  out += "</ul>\n";
  if (!report.header) return;
  out += "<ul class=\"chips\"><li class=\"label\">the worker saw in plaintext</li>";
  const std::vector<std::string> all = worker_sees(report.header->plan);
  for (const std::string& seen : all) {
    append(out, "<li class=\"seen\">{}</li>", html_escape(seen));
  }
  if (all.empty()) out += "<li>nothing</li>";
  out += "</ul>\n";
}

void operator_bars(std::string& out, const Summary& s) {
  std::int64_t most = 1;
  for (const OpTotals& op : s.ops) most = std::max(most, op.totals.bytes());
  out += "<div class=\"panel\"><h3>What crossed, by operator</h3>";
  for (const OpTotals& op : s.ops) {
    const Totals& t = op.totals;
    const auto share = [&](std::int64_t bytes) {
      return percent(static_cast<double>(bytes), static_cast<double>(most));
    };
    append(out, R"h(<div class="bar-row"><span class="bar-name">{}</span><div class="track">)h",
           op_name(op.op));
    segment(out, share(t.sent_bytes), "sent", fmt::format("{} bytes sent", t.sent_bytes));
    segment(out, share(t.received_bytes), "received",
            fmt::format("{} bytes received", t.received_bytes));
    append(out, R"h(</div><span class="bar-value">{:.3f} MiB, {:.1f} %</span></div>)h",
           mib(t.bytes()),
           percent(static_cast<double>(t.bytes()), static_cast<double>(s.all.bytes())));
  }
  out += "<ul class=\"legend\">";
  legend_item(out, "sent", "sent to the worker");
  legend_item(out, "received", "received from it");
  out += "</ul></div>\n";
}

void stage_bar(std::string& out, const Summary& s) {
  out += R"h(<div class="panel"><h3>Where the time went</h3><div class="track tall">)h";
  const auto color = [](const StageTime& stage) {
    return stage.name == "between calls" ? std::string("between") : stage.name;
  };
  double whole = 0;  // not the wall: stages of calls that overlap add up to more
  for (const StageTime& stage : s.stages()) whole += stage.ms;
  for (const StageTime& stage : s.stages()) {
    segment(out, percent(stage.ms, whole), color(stage),
            fmt::format("{}: {}", stage.name, ms_text(stage.ms)));
  }
  out += "</div><ul class=\"legend\">";
  for (const StageTime& stage : s.stages()) {
    legend_item(
        out, color(stage),
        fmt::format("{} {} ({:.1f} %)", stage.name, ms_text(stage.ms), percent(stage.ms, whole)));
  }
  out +=
      "</ul><p class=\"soft small\">Call by call on a timeline: <code>airlock report LEDGER "
      "--perfetto FILE</code>, for ui.perfetto.dev</p></div>\n";
}

void table_panel(std::string& out, const std::string& title, const Table& table) {
  append(out, R"h(<div class="panel"><h3>{}</h3><div class="scroll">{}</div></div>)h",
         html_escape(title), table.html("sortable"));
  out += '\n';
}

/// All calls, or the ones that took longest or carried most.
std::vector<LedgerEntry> listed_calls(std::span<const LedgerEntry> entries) {
  std::vector<LedgerEntry> list(entries.begin(), entries.end());
  if (list.size() <= kMostListed) return list;
  const auto half = list.begin() + kMostListed / 2;
  std::partial_sort(list.begin(), half, list.end(), [](const auto& a, const auto& b) {
    return a.sent_bytes + a.received_bytes > b.sent_bytes + b.received_bytes;
  });
  const auto end = list.begin() + kMostListed;
  std::partial_sort(half, end, list.end(),
                    [](const auto& a, const auto& b) { return a.total_ms > b.total_ms; });
  list.erase(end, list.end());
  return list;
}

void run_section(std::string& out, const NamedLedger& ledger, std::size_t index) {
  const Report& report = *ledger.report;
  const Summary& s = report.summary;
  append(
      out,
      R"h(<section class="run" id="run-{}" data-name="{}" data-calls="{}" data-sent-bytes="{}" )h"
      R"h(data-received-bytes="{}" data-total-bytes="{}" data-overhead-bytes="{}" )h"
      R"h(data-wall-ms="{:.6f}">)h",
      index, html_escape(report.name), s.all.calls, s.all.sent_bytes, s.all.received_bytes,
      s.all.bytes(), s.all.overhead_bytes, s.wall_ms);
  append(out, "<h2>{}</h2>\n", html_escape(report.name));
  chips(out, report);
  totals(out, report, index);
  if (report.predicted) {
    const bool equal = *report.predicted == s.traffic();
    append(out, R"h(<div class="panel"><p class="verdict {}" id="run-{}-verdict">{}</p></div>)h",
           equal ? "equal" : "differs", index, html_escape(verdict(s, *report.predicted)));
  }
  if (!report.advice.empty()) {
    out += "<div class=\"panel\"><h3>Advice</h3><ul class=\"advice\">";
    for (const Advice& advice : report.advice) {
      append(out, "<li>{}</li>", with_code(advice.text));
    }
    out += "</ul></div>\n";
  }
  operator_bars(out, s);
  stage_bar(out, s);
  table_panel(out, "Operators, bytes", operator_table(s, report.predicted));
  table_panel(out, "Operators, milliseconds", time_table(s));
  table_panel(out, "Layers", layer_table(s));
  table_panel(out,
              ledger.entries.size() > kMostListed
                  ? fmt::format("The {} largest and slowest calls", kMostListed)
                  : "Calls",
              calls_table(listed_calls(ledger.entries)));
  out += "</section>\n";
}

void run_bars(std::string& out, std::span<const NamedLedger> ledgers) {
  std::int64_t most = 1;
  std::array<bool, kOpCount> used{};
  for (const NamedLedger& ledger : ledgers) {
    most = std::max(most, ledger.report->summary.all.bytes());
    for (const OpTotals& op : ledger.report->summary.ops)
      used[static_cast<std::size_t>(op.op)] = true;
  }
  out += "<div class=\"panel\"><h3>What crossed, by run</h3>";
  for (const NamedLedger& ledger : ledgers) {
    const Summary& s = ledger.report->summary;
    append(out,
           R"h(<div class="bar-row"><span class="bar-name">{}</span><div class="track tall">)h",
           html_escape(ledger.report->name));
    for (const OpTotals& op : s.ops) {
      segment(out, percent(static_cast<double>(op.totals.bytes()), static_cast<double>(most)),
              fmt::format("op{}", static_cast<int>(op.op)),
              fmt::format("{}: {} bytes", op_name(op.op), op.totals.bytes()));
    }
    append(out, R"h(</div><span class="bar-value">{:.3f} MiB, {} calls</span></div>)h",
           mib(s.all.bytes()), s.all.calls);
  }
  out += "<ul class=\"legend\">";
  for (unsigned i = 0; i < kOpCount; ++i) {
    if (used[i]) legend_item(out, fmt::format("op{}", i), std::string(op_name(static_cast<Op>(i))));
  }
  out += "</ul></div>\n";
}

}  // namespace

std::string render_html(std::span<const NamedLedger> ledgers) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>Airlock report</title>\n<style>\n";
  out += kPageCss;
  out += "</style></head><body><main>\n<h1>What crossed between runner and worker</h1>\n";
  append(
      out,
      R"h(<p class="soft">{} ledger{}; payload is tensor bytes, MiB = 2<sup>20</sup> bytes</p>)h",
      ledgers.size(), ledgers.size() == 1 ? "" : "s");
  if (ledgers.size() > 1) {
    run_bars(out, ledgers);
    std::vector<Report> reports;
    for (const NamedLedger& ledger : ledgers) reports.push_back(*ledger.report);
    append(out, R"h(<div class="panel"><h3>Side by side</h3><div class="scroll">{}</div></div>)h",
           compare_table(reports).html("compare"));
  }
  for (std::size_t i = 0; i < ledgers.size(); ++i) run_section(out, ledgers[i], i);
  out +=
      "<footer>What a plan lets the worker see, it sees in plaintext. Made by airlock "
      "report.</footer>\n</main>\n";
  out += "<script>\n";
  out += kPageScript;
  out += "</script></body></html>\n";
  return out;
}

}  // namespace airlock
