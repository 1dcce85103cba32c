#include "airlock/report/perfetto.h"

#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace airlock {
namespace {
enum Track : int { kRunner = 1, kLink = 2, kWorker = 3 };

class TraceWriter {
 public:
  void name(std::string_view what, int pid, int tid, std::string_view text) {
    separate();
    append(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what, pid, tid,
           json_string(text));
  }
  void order(int pid, int tid) {
    separate();
    append(
        R"({{"ph":"M","name":"thread_sort_index","pid":{},"tid":{},"args":{{"sort_index":{}}}}})",
        pid, tid, tid);
  }
  /// A span of `ms` from `start_ms`, which moves on; stages that took no time leave no span.
  void span(std::string_view stage, Track track, int pid, const LedgerEntry& e, double& start_ms,
            double ms, std::int64_t bytes) {
    if (ms > 0) {
      separate();
      append(R"({{"ph":"X","name":"{}{}{}","cat":"{}","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},)"
             R"("args":{{"call":{},"layer":{},"bytes":{}}}}})",
             stage, stage.empty() ? "" : " ", op_name(e.op), op_name(e.op), pid,
             static_cast<int>(track), start_ms * 1e3, ms * 1e3, e.call, e.layer, bytes);
    }
    start_ms += ms;
  }
  std::string finish() {
    append("\n]}}\n");
    return fmt::to_string(out_);
  }

 private:
  template <typename... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void separate() {
    append("{}", first_ ? "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" : ",\n");
    first_ = false;
  }

  fmt::memory_buffer out_;
  bool first_ = true;
};
}  // namespace

std::string render_perfetto(std::span<const NamedLedger> ledgers) {
  TraceWriter trace;
  int pid = 0;
  for (const NamedLedger& ledger : ledgers) {
    ++pid;
    trace.name("process_name", pid, 0, ledger.report->name);
    trace.name("thread_name", pid, kRunner, "runner");
    trace.name("thread_name", pid, kLink, "link");
    trace.name("thread_name", pid, kWorker, "worker");
    for (const int tid : {kRunner, kLink, kWorker}) trace.order(pid, tid);
    for (const LedgerEntry& e : ledger.entries) {
      double at = e.start_ms;
      trace.span("encode", kRunner, pid, e, at, e.encode_ms, e.sent_bytes);
      trace.span("send", kLink, pid, e, at, e.send_ms, e.sent_bytes);
      trace.span("", kWorker, pid, e, at, e.worker_ms, e.sent_bytes + e.received_bytes);
      trace.span("receive", kLink, pid, e, at, e.receive_ms, e.received_bytes);
      trace.span("decode", kRunner, pid, e, at, e.decode_ms, e.received_bytes);
    }
  }
  return trace.finish();
}

}  // namespace airlock
