#include "airlock/report/json.h"

#include <nlohmann/json.hpp>

#include "airlock/plan/worker_sees.h"

namespace airlock {
namespace {
using OrderedJson = nlohmann::ordered_json;

OrderedJson to_object(const Totals& t) {
  return {{"calls", t.calls},
          {"sent_bytes", t.sent_bytes},
          {"received_bytes", t.received_bytes},
          {"total_bytes", t.bytes()},
          {"overhead_bytes", t.overhead_bytes},
          {"encode_ms", t.encode_ms},
          {"send_ms", t.send_ms},
          {"worker_ms", t.worker_ms},
          {"receive_ms", t.receive_ms},
          {"decode_ms", t.decode_ms},
          {"total_ms", t.total_ms}};
}

template <typename Name>
OrderedJson with(const char* key, const Name& name, const Totals& totals) {
  OrderedJson object = {{key, name}};
  object.update(to_object(totals));
  return object;
}

OrderedJson to_array(const std::vector<LedgerEntry>& entries) {
  OrderedJson array = OrderedJson::array();
  for (const LedgerEntry& e : entries) {
    array.push_back({{"call", e.call},
                     {"op", op_name(e.op)},
                     {"layer", e.layer},
                     {"sent_bytes", e.sent_bytes},
                     {"received_bytes", e.received_bytes},
                     {"start_ms", e.start_ms},
                     {"encode_ms", e.encode_ms},
                     {"send_ms", e.send_ms},
                     {"worker_ms", e.worker_ms},
                     {"receive_ms", e.receive_ms},
                     {"decode_ms", e.decode_ms},
                     {"total_ms", e.total_ms}});
  }
  return array;
}
}  // namespace

std::string report_json(const Report& report) {
  const Summary& s = report.summary;
  OrderedJson json;
  json["name"] = report.name;
  json["totals"] = to_object(s.all);
  json["totals"]["wall_ms"] = s.wall_ms;
  json["totals"]["between_ms"] = s.between_ms;
  json["totals"]["megabytes_per_second"] = s.all.megabytes_per_second();
  json["ops"] = OrderedJson::array();
  for (const OpTotals& op : s.ops) json["ops"].push_back(with("op", op_name(op.op), op.totals));
  json["layers"] = OrderedJson::array();
  for (const LayerTotals& l : s.layers) json["layers"].push_back(with("layer", l.layer, l.totals));
  json["stages"] = OrderedJson::object();
  for (const StageTime& stage : s.stages()) json["stages"][stage.name] = stage.ms;
  json["largest"] = to_array(s.largest);
  json["slowest"] = to_array(s.slowest);
  json["links"] = s.links;
  json["wire_dtypes"] = OrderedJson::array();
  for (const DType dtype : s.wire_dtypes) json["wire_dtypes"].push_back(dtype_name(dtype));
  json["plan"] = report.header ? OrderedJson(report.header->plan.name) : OrderedJson();
  json["worker_sees"] =
      report.header ? OrderedJson(worker_sees(report.header->plan)) : OrderedJson();
  json["predicted"] = nullptr;
  if (report.predicted) {
    const Traffic& p = *report.predicted;
    json["predicted"] = {{"equal", p == s.traffic()},
                         {"calls", p.calls()},
                         {"sent_bytes", p.sent_bytes()},
                         {"received_bytes", p.received_bytes()},
                         {"total_bytes", p.total_bytes()}};
  }
  json["advice"] = OrderedJson::array();
  for (const Advice& a : report.advice) {
    OrderedJson item = {{"text", a.text}, {"flags", a.flags}};
    if (!a.flags.empty()) {
      item["calls"] = a.calls;
      item["total_bytes"] = a.bytes;
    }
    json["advice"].push_back(std::move(item));
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

}  // namespace airlock
