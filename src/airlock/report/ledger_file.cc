#include "airlock/report/ledger_file.h"

#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
/// With each call's bytes capped (report/ledger_json.cc), sums stay far below 2^63.
constexpr std::int64_t kMaxLedgerBytes = std::int64_t{1} << 60;
constexpr std::size_t kMaxLine = 1 << 16;
constexpr double kFlushMs = 100;
}  // namespace

FileLedger::FileLedger(const std::filesystem::path& path) : file_(path) {}

void FileLedger::write(std::string_view line) {
  file_.write(line);
  file_.write("\n");
}

void FileLedger::begin(const LedgerHeader& header) {
  write(to_json(header));
}

void FileLedger::record(const LedgerEntry& entry) {
  write(to_json(entry));
  if (!published_) file_.publish();
  published_ = true;
  const double end_ms = entry.start_ms + entry.total_ms;
  if (end_ms - flushed_ms_ >= kFlushMs) {
    file_.flush();
    flushed_ms_ = end_ms;
  }
}

void FileLedger::close() {
  file_.close();
}

Ledger read_ledger(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code ignored;
  require(std::filesystem::exists(path, ignored), ErrorCode::kNotFound, "{}: no such ledger", name);
  require(!std::filesystem::is_directory(path, ignored), ErrorCode::kIo,
          "{}: a folder, expected a ledger file", name);
  std::ifstream file(path, std::ios::binary);
  require_system(file.is_open(), ErrorCode::kIo, "{}: cannot open the ledger", name);

  Ledger ledger;
  std::vector<char> buffer(kMaxLine);
  std::int64_t number = 0;
  std::int64_t bytes = 0;
  double end_ms = 0;
  while (file.getline(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    const std::string where = fmt::format("{}:{}", name, ++number);
    require(!file.fail() || file.eof(), ErrorCode::kCorruptFile,
            "{}: a line of more than {} bytes: not an Airlock ledger", where, kMaxLine - 1);
    // gcount includes the newline, unless the file ended first.
    const auto length = static_cast<std::size_t>(file.gcount()) - (file.eof() ? 0 : 1);
    LedgerLine line = parse_ledger_line(
        {buffer.data(), length}, where,
        file.eof() && buffer[0] == '{'
            ? "the last line is cut off (did the run die?); remove it to read the calls before it"
            : "");
    if (line.header) {
      require(number == 1, ErrorCode::kCorruptFile,
              "{}: says model, plan and link, which only the first line does: several ledgers in "
              "one file?",
              where);
      ledger.header = std::move(line.header);
      continue;
    }
    LedgerEntry& e = line.entry;
    bytes += e.sent_bytes + e.received_bytes + e.overhead_bytes;
    require(bytes <= kMaxLedgerBytes, ErrorCode::kCorruptFile,
            "{}: more than 2^60 bytes up to this call: not an Airlock ledger", where);
    // Ledgers that keep to the contract's keys say no start: calls follow one another.
    if (!line.has_start) e.start_ms = end_ms;
    end_ms = e.start_ms + e.total_ms;
    ledger.entries.push_back(std::move(e));
  }
  require_system(!file.bad(), ErrorCode::kIo, "{}: cannot read the ledger", name);
  require(!ledger.entries.empty(), ErrorCode::kCorruptFile,
          "{}:{}: the ledger is empty: no call in it", name, number + 1);
  return ledger;
}

}  // namespace airlock
