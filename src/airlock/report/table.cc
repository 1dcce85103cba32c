#include "airlock/report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/terminal.h"

namespace airlock {
namespace {
constexpr std::array<std::string_view, 4> kFormatNames = {"table", "md", "csv", "json"};
constexpr double kMiB = 1 << 20;

/// Code points: what a terminal shows of the characters used here, all one column wide.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) {
    if (c == '"') field += '"';
    field += c;
  }
  return field + '"';
}

std::string markdown_field(std::string_view text) {
  std::string field;
  for (const char c : text) {
    if (c == '|' || c == '`' || c == '<' || c == '\\') field += '\\';
    field += c;
  }
  return field;
}

void append_padded(std::string& line, std::string_view text, std::size_t to, Table::Align align) {
  const std::size_t gap = to - std::min(to, width(text));
  if (align == Table::Align::kRight) line.append(gap, ' ');
  line += text;
  if (align == Table::Align::kLeft) line.append(gap, ' ');
}

void end_line(std::string& out, std::string& line) {
  line.erase(line.find_last_not_of(' ') + 1);
  out += line;
  out += '\n';
  line.clear();
}
}  // namespace

TableFormat parse_table_format(std::string_view name) {
  for (std::size_t i = 0; i < kFormatNames.size(); ++i) {
    if (kFormatNames[i] == name) return static_cast<TableFormat>(i);
  }
  fail(ErrorCode::kInvalidArgument, "unknown format `{}`{}, expected one of {}", name,
       suggest(name, kFormatNames), fmt::join(kFormatNames, ", "));
}

Cell::Cell() : json_("null") {}

Cell::Cell(std::string_view text)
    : shown_(shown_line(text)), csv_(text), json_(json_string(text)) {}

Cell::Cell(std::int64_t number) : shown_(fmt::format("{}", number)), csv_(shown_), json_(shown_) {}

Cell Cell::fixed(double value, int digits) {
  Cell cell;
  if (!std::isfinite(value)) return cell;
  cell.shown_ = cell.csv_ = cell.json_ = fmt::format("{:.{}f}", value, digits);
  return cell;
}

Cell Cell::mib(std::int64_t bytes) {
  Cell cell(bytes);
  cell.shown_ = fmt::format("{:.3f}", static_cast<double>(bytes) / kMiB);
  return cell;
}

Cell Cell::percent(double share) {
  Cell cell;
  if (!std::isfinite(share)) return cell;
  cell.shown_ = fmt::format("{:.1f} %", share * 100);
  cell.csv_ = cell.json_ = fmt::format("{:.6f}", share);
  return cell;
}

Cell Cell::quoted(std::string_view text) {
  Cell cell;
  cell.csv_ = cell.json_ = json_string(text);
  cell.shown_ = shown_line(cell.json_);
  return cell;
}

Cell Cell::words(const std::vector<std::string>& words) {
  Cell cell(std::string_view(fmt::format("{}", fmt::join(words, " "))));
  cell.json_.assign(1, '[');
  for (const std::string& word : words) {
    if (cell.json_.size() > 1) cell.json_ += ',';
    cell.json_ += json_string(word);
  }
  cell.json_ += ']';
  return cell;
}

Cell Cell::json(std::string text) {
  Cell cell;
  cell.json_ = std::move(text);
  return cell;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> cells) {
  require(cells.size() == columns_.size(), ErrorCode::kInternal, "{} cells under {} columns",
          cells.size(), columns_.size());
  rows_.push_back({std::move(cells), false});
}

void Table::add_total(std::vector<Cell> cells) {
  add(std::move(cells));
  rows_.back().total = true;
}

std::string Table::render(TableFormat format) const {
  switch (format) {
    case TableFormat::kText:
      return text();
    case TableFormat::kMarkdown:
      return markdown();
    case TableFormat::kCsv:
      return csv();
    case TableFormat::kJson:
      return json();
  }
  fail(ErrorCode::kInternal, "unknown table format {}", static_cast<int>(format));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  std::size_t whole = 0;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t most = width(columns_[i].title);
    for (const Row& row : rows_) most = std::max(most, width(row.cells[i].shown_));
    widths.push_back(most);
    if (!columns_[i].title.empty()) whole += most + 2;
  }
  std::string out;
  std::string line;
  const auto add_line = [&](const auto& shown) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].title.empty()) continue;
      if (!line.empty()) line += "  ";
      append_padded(line, shown(i), widths[i], columns_[i].align);
    }
    end_line(out, line);
  };
  const std::string rule = std::string(whole > 2 ? whole - 2 : 0, '-') + '\n';
  add_line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  out += rule;
  bool totals = false;
  for (const Row& row : rows_) {
    if (row.total && !totals) out += rule;
    totals = row.total;
    add_line([&](std::size_t i) -> const std::string& { return row.cells[i].shown_; });
  }
  return out;
}

std::string Table::markdown() const {
  std::string out = "|";
  for (const Column& column : columns_) {
    if (!column.title.empty()) out += fmt::format(" {} |", markdown_field(column.title));
  }
  out += "\n|";
  for (const Column& column : columns_) {
    if (!column.title.empty()) out += column.align == Align::kRight ? " ---: |" : " --- |";
  }
  out += '\n';
  for (const Row& row : rows_) {
    out += '|';
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].title.empty()) continue;
      const std::string field = markdown_field(row.cells[i].shown_);
      out += row.total && !field.empty() ? fmt::format(" **{}** |", field)
                                         : fmt::format(" {} |", field);
    }
    out += '\n';
  }
  return out;
}

std::string Table::csv() const {
  std::string out;
  std::string line;
  const auto add_line = [&](const auto& field) {
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].key.empty() || columns_[i].json_only) continue;
      if (!first) out += ',';
      first = false;
      out += csv_field(field(i));
    }
    out += "\r\n";
  };
  add_line([&](std::size_t i) -> const std::string& { return columns_[i].key; });
  for (const Row& row : rows_) {
    if (!row.total)
      add_line([&](std::size_t i) -> const std::string& { return row.cells[i].csv_; });
  }
  return out;
}

std::string Table::json() const {
  std::string out = "[";
  bool first_row = true;
  for (const Row& row : rows_) {
    if (row.total) continue;
    out += first_row ? "\n  {" : ",\n  {";
    first_row = false;
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].key.empty()) continue;
      if (!first) out += ", ";
      first = false;
      out += json_string(columns_[i].key) + ": " + row.cells[i].json_;
    }
    out += '}';
  }
  return out + (first_row ? "]\n" : "\n]\n");
}

std::string mib_text(std::int64_t bytes) {
  return fmt::format("{:.3f} MiB", static_cast<double>(bytes) / kMiB);
}

std::string bytes_text(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  if (bytes < kMiB) return fmt::format("{:.1f} KiB", bytes / 1024);
  if (bytes < kMiB * 1024 * 10) return fmt::format("{:.1f} MiB", bytes / kMiB);
  return fmt::format("{:.1f} GiB", bytes / kMiB / 1024);
}

std::string ms_text(double ms) {
  if (ms < 1) return fmt::format("{:.1f} us", ms * 1000);
  if (ms < 10) return fmt::format("{:.2f} ms", ms);
  if (ms < 10000) return fmt::format("{:.1f} ms", ms);
  return fmt::format("{:.1f} s", ms / 1000);
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace airlock
