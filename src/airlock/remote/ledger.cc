#include "airlock/remote/ledger.h"

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include <fmt/format.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using nlohmann::json;

// Bounds on what is believed. A call of Llama 3.1 405B at its full context stays below 2^40 bytes;
// with these, sums over any ledger that fits a disk stay far below 2^63.
constexpr std::int64_t kMaxCallBytes = std::int64_t{1} << 48;
constexpr std::int64_t kMaxLedgerBytes = std::int64_t{1} << 60;
constexpr std::int64_t kMaxCalls = std::int64_t{1} << 53;
constexpr std::int64_t kMaxLayer = 65535;
constexpr double kMaxMs = 1e12;  // 31 years
constexpr std::size_t kMaxLine = 1 << 16;
constexpr double kFlushMs = 100;

void append_string(fmt::memory_buffer& out, std::string_view text) {
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
}

void append_json(fmt::memory_buffer& out, const LedgerEntry& e) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"call":{},"op":"{}","layer":{},"sent_bytes":{},"received_bytes":{},)"
                 R"("overhead_bytes":{},"encode_ms":{:.6f},"send_ms":{:.6f},"worker_ms":{:.6f},)"
                 R"("receive_ms":{:.6f},"decode_ms":{:.6f},"total_ms":{:.6f},"link":")",
                 e.call, op_name(e.op), e.layer, e.sent_bytes, e.received_bytes, e.overhead_bytes,
                 e.encode_ms, e.send_ms, e.worker_ms, e.receive_ms, e.decode_ms, e.total_ms);
  append_string(out, e.link);
  fmt::format_to(
      std::back_inserter(out),
      R"(","wire_dtype":"{}","start_ms":{:.6f},"sent_wire_bytes":{},"received_wire_bytes":{}}})",
      dtype_name(e.wire_dtype), e.start_ms, e.sent_wire_bytes, e.received_wire_bytes);
}

/// One line's object, with checks that name the line and the key.
class LineReader {
 public:
  LineReader(const json& object, std::string_view where) : object_(object), where_(where) {}

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
    return value.get_ref<const std::string&>();
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
  [[nodiscard]] DType dtype(const char* key) const {
    try {
      return parse_dtype(text(key));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCorruptFile) throw;
      fail(ErrorCode::kCorruptFile, "{}: {}: {}", where_, key, error.what());
    }
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

struct ParsedLine {
  LedgerEntry entry;
  bool has_start = false;
};

ParsedLine parse_line(std::string_view line, std::string_view where, std::string_view cut_off) {
  const json object = json::parse(line, nullptr, false);
  require(object.is_object(), ErrorCode::kCorruptFile, "{}: {}", where,
          cut_off.empty() ? "not a JSON object: not a line of an Airlock ledger" : cut_off);
  const LineReader reader(object, where);
  ParsedLine parsed;
  LedgerEntry& e = parsed.entry;
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
  e.wire_dtype = reader.dtype("wire_dtype");
  parsed.has_start = object.contains("start_ms");
  if (parsed.has_start) e.start_ms = reader.ms("start_ms");
  const auto wire_count = [&](const char* key, std::int64_t raw) {
    return object.contains(key) ? reader.count(key, 0, kMaxCallBytes) : raw;
  };
  e.sent_wire_bytes = wire_count("sent_wire_bytes", e.sent_bytes);
  e.received_wire_bytes = wire_count("received_wire_bytes", e.received_bytes);
  return parsed;
}
}  // namespace

FileLedger::FileLedger(const std::filesystem::path& path)
    : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
  require(file_.is_open(), ErrorCode::kIo, "{}: cannot create the ledger: {}", path_.string(),
          std::generic_category().message(errno));
}

void FileLedger::record(const LedgerEntry& entry) {
  fmt::memory_buffer line;  // a line fits its 500 inline bytes
  append_json(line, entry);
  line.push_back('\n');
  file_.write(line.data(), static_cast<std::streamsize>(line.size()));
  const double end_ms = entry.start_ms + entry.total_ms;
  if (end_ms - flushed_ms_ >= kFlushMs) {
    file_.flush();
    flushed_ms_ = end_ms;
  }
  require(file_.good(), ErrorCode::kIo, "{}: cannot write to the ledger: {}", path_.string(),
          std::generic_category().message(errno));
}

void FileLedger::close() {
  if (!file_.is_open()) return;
  file_.close();
  require(!file_.fail(), ErrorCode::kIo, "{}: cannot write to the ledger: {}", path_.string(),
          std::generic_category().message(errno));
}

std::string to_json(const LedgerEntry& entry) {
  fmt::memory_buffer line;
  append_json(line, entry);
  return fmt::to_string(line);
}

LedgerEntry parse_ledger_line(std::string_view line, std::string_view where) {
  return parse_line(line, where, "").entry;
}

std::vector<LedgerEntry> read_ledger(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code ignored;
  require(std::filesystem::exists(path, ignored), ErrorCode::kNotFound, "{}: no such ledger", name);
  require(!std::filesystem::is_directory(path, ignored), ErrorCode::kIo,
          "{}: a folder, expected a ledger file", name);
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), ErrorCode::kIo, "{}: cannot open the ledger: {}", name,
          std::generic_category().message(errno));

  std::vector<LedgerEntry> entries;
  std::vector<char> buffer(kMaxLine);
  std::int64_t bytes = 0;
  double end_ms = 0;
  while (file.getline(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    const std::string where = fmt::format("{}:{}", name, entries.size() + 1);
    require(!file.fail() || file.eof(), ErrorCode::kCorruptFile,
            "{}: a line of more than {} bytes: not an Airlock ledger", where, kMaxLine - 1);
    // gcount includes the newline, unless the file ended first.
    const auto length = static_cast<std::size_t>(file.gcount()) - (file.eof() ? 0 : 1);
    ParsedLine parsed = parse_line(
        {buffer.data(), length}, where,
        file.eof() && buffer[0] == '{'
            ? "the last line is cut off (did the run die?); remove it to read the calls before it"
            : "");
    LedgerEntry& e = parsed.entry;
    bytes += e.sent_bytes + e.received_bytes + e.overhead_bytes;
    require(bytes <= kMaxLedgerBytes, ErrorCode::kCorruptFile,
            "{}: more than 2^60 bytes up to this call: not an Airlock ledger", where);
    // Ledgers that keep to the contract's keys say no start: calls follow one another.
    if (!parsed.has_start) e.start_ms = end_ms;
    end_ms = e.start_ms + e.total_ms;
    entries.push_back(std::move(e));
  }
  require(!file.bad(), ErrorCode::kIo, "{}: cannot read the ledger: {}", name,
          std::generic_category().message(errno));
  require(!entries.empty(), ErrorCode::kCorruptFile, "{}:1: the ledger is empty: no call in it",
          name);
  return entries;
}

}  // namespace airlock
