#include "airlock/report/summary.h"

#include <algorithm>
#include <array>
#include <map>

namespace airlock {
namespace {
constexpr std::size_t kTop = 5;
constexpr std::size_t kMostNames = 8;  // of links: a ledger has one, a hostile one no two alike

/// Keeps the `kTop` entries of largest `key`, largest first; a tie leaves the earlier one ahead.
template <typename Key>
void keep_top(std::vector<const LedgerEntry*>& top, const LedgerEntry& entry, const Key& key) {
  if (top.size() == kTop && key(entry) <= key(*top.back())) return;
  const auto at = std::find_if(top.begin(), top.end(),
                               [&](const LedgerEntry* e) { return key(*e) < key(entry); });
  top.insert(at, &entry);
  if (top.size() > kTop) top.pop_back();
}

std::vector<LedgerEntry> copies(const std::vector<const LedgerEntry*>& entries) {
  std::vector<LedgerEntry> list;
  for (const LedgerEntry* entry : entries) list.push_back(*entry);
  return list;
}

template <typename T>
void add_once(std::vector<T>& list, const T& value) {
  if (list.size() < kMostNames && std::find(list.begin(), list.end(), value) == list.end()) {
    list.push_back(value);
  }
}
}  // namespace

void Totals::add(const LedgerEntry& entry) noexcept {
  calls += 1;
  sent_bytes += entry.sent_bytes;
  received_bytes += entry.received_bytes;
  wire_bytes += entry.sent_wire_bytes + entry.received_wire_bytes;
  overhead_bytes += entry.overhead_bytes;
  encode_ms += entry.encode_ms;
  send_ms += entry.send_ms;
  worker_ms += entry.worker_ms;
  receive_ms += entry.receive_ms;
  decode_ms += entry.decode_ms;
  total_ms += entry.total_ms;
}

double Totals::megabytes_per_second() const noexcept {
  return total_ms > 0 ? static_cast<double>(bytes()) / total_ms / 1e3 : 0;
}

Traffic Summary::traffic() const {
  Traffic traffic;
  for (const OpTotals& op : ops) {
    traffic.ops.push_back({op.op, op.totals.calls, op.totals.sent_bytes, op.totals.received_bytes});
  }
  return traffic;
}

std::vector<StageTime> Summary::stages() const {
  return {{"encode", all.encode_ms},   {"send", all.send_ms},     {"worker", all.worker_ms},
          {"receive", all.receive_ms}, {"decode", all.decode_ms}, {"between calls", between_ms}};
}

Summary summarize(std::span<const LedgerEntry> entries) {
  Summary summary;
  std::array<Totals, kOpCount> ops;
  std::map<int, Totals> layers;
  std::vector<const LedgerEntry*> largest;
  std::vector<const LedgerEntry*> slowest;
  double start_ms = 0;
  double end_ms = 0;
  double busy_ms = 0;
  for (const LedgerEntry& entry : entries) {
    add_once(summary.links, entry.link);
    if (prepares(entry.op)) {
      summary.init.add(entry);
      continue;
    }
    add_once(summary.wire_dtypes, entry.wire_dtype);
    start_ms = summary.all.calls == 0 ? entry.start_ms : std::min(start_ms, entry.start_ms);
    end_ms = std::max(end_ms, entry.start_ms + entry.total_ms);
    busy_ms += entry.total_ms;
    summary.all.add(entry);
    ops[static_cast<std::size_t>(entry.op)].add(entry);
    layers[entry.layer].add(entry);
    keep_top(largest, entry, [](const LedgerEntry& e) { return e.sent_bytes + e.received_bytes; });
    keep_top(slowest, entry, [](const LedgerEntry& e) { return e.total_ms; });
  }
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].calls > 0) summary.ops.push_back({static_cast<Op>(i), ops[i]});
  }
  for (const auto& [layer, totals] : layers) summary.layers.push_back({layer, totals});
  summary.largest = copies(largest);
  summary.slowest = copies(slowest);
  summary.wall_ms = std::max(0.0, end_ms - start_ms);
  summary.between_ms = std::max(0.0, summary.wall_ms - busy_ms);
  return summary;
}

}  // namespace airlock
