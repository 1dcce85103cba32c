#include "airlock/report/ledger_json.h"

#include <array>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using nlohmann::json;

// Bounds on what is believed. A call of Llama 3.1 405B at its full context stays below 2^40 bytes.
constexpr std::int64_t kMaxCallBytes = std::int64_t{1} << 48;
constexpr std::int64_t kMaxCalls = std::int64_t{1} << 53;
constexpr std::int64_t kMaxLayer = 65535;
constexpr double kMaxMs = 1e12;  // 31 years
constexpr std::size_t kMaxText = 256;

/// The counts of a model that a ledger tells, in the order it tells them.
struct Count {
  const char* key;
  std::int64_t ModelConfig::*field;
};
constexpr Count kCounts[] = {
    {"layers", &ModelConfig::layers},     {"hidden", &ModelConfig::hidden},
    {"heads", &ModelConfig::heads},       {"kv_heads", &ModelConfig::kv_heads},
    {"head_dim", &ModelConfig::head_dim}, {"ffn", &ModelConfig::ffn},
    {"vocab", &ModelConfig::vocab},       {"max_position", &ModelConfig::max_position}};

void append_string(fmt::memory_buffer& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_json(fmt::memory_buffer& out, const LedgerEntry& e) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"call":{},"op":"{}","layer":{},"sent_bytes":{},"received_bytes":{},)"
                 R"("overhead_bytes":{},"encode_ms":{:.6f},"send_ms":{:.6f},"worker_ms":{:.6f},)"
                 R"("receive_ms":{:.6f},"decode_ms":{:.6f},"total_ms":{:.6f},"link":)",
                 e.call, op_name(e.op), e.layer, e.sent_bytes, e.received_bytes, e.overhead_bytes,
                 e.encode_ms, e.send_ms, e.worker_ms, e.receive_ms, e.decode_ms, e.total_ms);
  append_string(out, e.link);
  fmt::format_to(
      std::back_inserter(out),
      R"(,"wire_dtype":"{}","start_ms":{:.6f},"sent_wire_bytes":{},"received_wire_bytes":{}}})",
      dtype_name(e.wire_dtype), e.start_ms, e.sent_wire_bytes, e.received_wire_bytes);
}

/// An object of a line, with checks that name the line and the key.
class LineReader {
 public:
  LineReader(const json& object, std::string_view where) : object_(object), where_(where) {}

  [[nodiscard]] bool has(const char* key) const { return object_.contains(key); }
  [[nodiscard]] const json& at(const char* key) const {
    const auto it = object_.find(key);
    require(it != object_.end(), ErrorCode::kCorruptFile,
            "{}: no key \"{}\": not a line of an Airlock ledger", where_, key);
    return *it;
  }
  [[nodiscard]] std::int64_t count(const char* key, std::int64_t least, std::int64_t most) const {
    const json& value = at(key);
    // Unsigned numbers past 2^63 would wrap in get<int64_t>.
    const bool whole = value.is_number_integer() &&
                       !(value.is_number_unsigned() &&
                         value.get<std::uint64_t>() > static_cast<std::uint64_t>(most));
    require(whole && value.get<std::int64_t>() >= least && value.get<std::int64_t>() <= most,
            ErrorCode::kCorruptFile, "{}: {} is {}, expected a whole number from {} to {}", where_,
            key, shown(value), least, most);
    return value.get<std::int64_t>();
  }
  [[nodiscard]] double ms(const char* key) const {
    const json& value = at(key);
    require(value.is_number() && value.get<double>() >= 0 && value.get<double>() <= kMaxMs,
            ErrorCode::kCorruptFile, "{}: {} is {}, expected milliseconds from 0 to {:g}", where_,
            key, shown(value), kMaxMs);
    return value.get<double>();
  }
  [[nodiscard]] const std::string& text(const char* key) const {
    const json& value = at(key);
    require(value.is_string(), ErrorCode::kCorruptFile, "{}: {} is {}, expected a string", where_,
            key, shown(value));
    const auto& text = value.get_ref<const std::string&>();
    require(text.size() <= kMaxText, ErrorCode::kCorruptFile,
            "{}: {} has {} bytes, expected {} at most", where_, key, text.size(), kMaxText);
    return text;
  }
  [[nodiscard]] Op op() const {
    const std::string& name = text("op");
    std::array<std::string_view, kOpCount> names;
    for (unsigned i = 0; i < kOpCount; ++i) {
      names[i] = op_name(static_cast<Op>(i));
      if (names[i] == name) return static_cast<Op>(i);
    }
    fail(ErrorCode::kCorruptFile, "{}: unknown operator {}{}", where_, shown(at("op")),
         suggest(name, names));
  }
  /// What `parse` makes of a name.
  template <typename Parse>
  [[nodiscard]] auto named(const char* key, const Parse& parse) const {
    const std::string& name = text(key);
    try {
      return parse(name);
    } catch (const Error& error) {
      fail(ErrorCode::kCorruptFile, "{}: {}: {}", where_, key, error.what());
    }
  }
  [[nodiscard]] LineReader object(const char* key) const {
    const json& value = at(key);
    require(value.is_object(), ErrorCode::kCorruptFile, "{}: {} is {}, expected an object", where_,
            key, shown(value));
    return {value, where_};
  }

 private:
  /// The value as JSON, short enough for a message.
  static std::string shown(const json& value) {
    std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() > 40) text.replace(37, std::string::npos, "...");
    return text;
  }

  const json& object_;
  std::string_view where_;
};

LedgerHeader parse_header(const LineReader& line, std::string_view where) {
  LedgerHeader header;
  const LineReader model = line.object("model");
  header.model = model.text("name");
  header.fingerprint = model.text("fingerprint");
  for (const Count& count : kCounts)
    header.config.*count.field = model.count(count.key, 0, kMaxCalls);
  check_config(header.config, where);
  const LineReader knobs = line.object("plan");
  Plan& plan = header.plan;
  plan.name = knobs.text("name");
  plan.attention = knobs.named("attention", parse_attention);
  plan.mlp = knobs.named("mlp", parse_mlp);
  plan.wire_dtype = knobs.named("wire_dtype", parse_dtype);
  plan.embedding = knobs.named("embedding", parse_side);
  plan.lm_head = knobs.named("lm_head", parse_side);
  plan.chunk = knobs.count("chunk", 0, kMaxCalls);
  if (plan.ring()) {
    plan.mask = knobs.named("mask", parse_mask);
    plan.soundness = static_cast<int>(knobs.count("soundness", 0, 62));
    plan.verify = plan.soundness > 0;
    if (!plan.verify) plan.soundness = Plan().soundness;
    plan.pads = knobs.named("pads", parse_pad_kind);
  }
  try {
    check_plan(plan);
  } catch (const Error& error) {
    fail(ErrorCode::kCorruptFile, "{}: {}", where, error.what());
  }
  header.link = line.text("link");
  if (line.has("sequences")) {
    const LineReader run = line.object("sequences");
    header.sequences = {static_cast<int>(run.count("count", 1, kMaxRanges)),
                        run.count("prompt", 1, kMaxCalls), run.count("generated", 0, kMaxCalls)};
  }
  return header;
}

LedgerEntry parse_call(const LineReader& reader) {
  LedgerEntry e;
  e.call = reader.count("call", 0, kMaxCalls);
  e.op = reader.op();
  e.layer = static_cast<int>(reader.count("layer", -1, kMaxLayer));
  e.sent_bytes = reader.count("sent_bytes", 0, kMaxCallBytes);
  e.received_bytes = reader.count("received_bytes", 0, kMaxCallBytes);
  e.overhead_bytes = reader.count("overhead_bytes", 0, kMaxCallBytes);
  e.encode_ms = reader.ms("encode_ms");
  e.send_ms = reader.ms("send_ms");
  e.worker_ms = reader.ms("worker_ms");
  e.receive_ms = reader.ms("receive_ms");
  e.decode_ms = reader.ms("decode_ms");
  e.total_ms = reader.ms("total_ms");
  e.link = reader.text("link");
  e.wire_dtype = reader.named("wire_dtype", parse_dtype);
  if (reader.has("start_ms")) e.start_ms = reader.ms("start_ms");
  const auto wire_count = [&](const char* key, std::int64_t raw) {
    return reader.has(key) ? reader.count(key, 0, kMaxCallBytes) : raw;
  };
  e.sent_wire_bytes = wire_count("sent_wire_bytes", e.sent_bytes);
  e.received_wire_bytes = wire_count("received_wire_bytes", e.received_bytes);
  return e;
}
}  // namespace

std::string to_json(const LedgerHeader& header) {
  fmt::memory_buffer line;
  const auto text = [&](std::string_view key, std::string_view value) {
    fmt::format_to(std::back_inserter(line), "{}:", key);
    append_string(line, value);
  };
  text(R"({"model":{"name")", header.model);
  text(R"(,"fingerprint")", header.fingerprint);
  for (const Count& count : kCounts) {
    fmt::format_to(std::back_inserter(line), R"(,"{}":{})", count.key, header.config.*count.field);
  }
  const Plan& plan = header.plan;
  text(R"(},"plan":{"name")", plan.name);
  fmt::format_to(std::back_inserter(line),
                 R"(,"attention":"{}","mlp":"{}","wire_dtype":"{}","embedding":"{}",)"
                 R"("lm_head":"{}","chunk":{})",
                 attention_name(plan.attention), mlp_name(plan.mlp), dtype_name(plan.wire_dtype),
                 side_name(plan.embedding), side_name(plan.lm_head), plan.chunk);
  if (plan.ring()) {  // soundness 0: nothing was checked
    fmt::format_to(std::back_inserter(line), R"(,"mask":"{}","soundness":{},"pads":"{}")",
                   mask_name(plan.mask), plan.verify ? plan.soundness : 0,
                   pad_kind_name(plan.pads));
  }
  text(R"(},"link")", header.link);
  if (const auto& run = header.sequences) {
    fmt::format_to(std::back_inserter(line),
                   R"(,"sequences":{{"count":{},"prompt":{},"generated":{}}})", run->sequences,
                   run->prompt, run->generated);
  }
  line.push_back('}');
  return fmt::to_string(line);
}

std::string to_json(const LedgerEntry& entry) {
  fmt::memory_buffer line;
  append_json(line, entry);
  return fmt::to_string(line);
}

LedgerLine parse_ledger_line(std::string_view line, std::string_view where,
                             std::string_view cut_off) {
  const json object = json::parse(line, nullptr, false);
  require(object.is_object(), ErrorCode::kCorruptFile, "{}: {}", where,
          cut_off.empty() ? "not a JSON object: not a line of an Airlock ledger" : cut_off);
  const LineReader reader(object, where);
  LedgerLine parsed;
  if (reader.has("plan") && !reader.has("call")) {
    parsed.header = parse_header(reader, where);
    return parsed;
  }
  parsed.has_start = reader.has("start_ms");
  parsed.entry = parse_call(reader);
  return parsed;
}

}  // namespace airlock
