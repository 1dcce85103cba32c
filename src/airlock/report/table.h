// Tables as every command prints them: the same rows as aligned text, markdown, CSV or JSON.
// The only place that knows how numbers look.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace airlock {

enum class TableFormat : std::uint8_t { kText, kMarkdown, kCsv, kJson };
/// "table", "md", "csv" or "json". Throws Error(kInvalidArgument) that suggests the nearest.
TableFormat parse_table_format(std::string_view name);

/// One cell: what people see and what programs read. A value type.
class Cell {
 public:
  /// Nothing: "" for people, null in JSON.
  Cell();
  Cell(std::string_view text);  // NOLINT(google-explicit-constructor)
  Cell(const std::string& text) : Cell(std::string_view(text)) {}  // NOLINT
  Cell(const char* text) : Cell(std::string_view(text)) {}         // NOLINT
  Cell(std::int64_t number);  // NOLINT(google-explicit-constructor): exact
  /// `value` with so many digits after the point; null if it is not finite.
  static Cell fixed(double value, int digits);
  /// Bytes: "6984.505" (MiB = 2^20 bytes) for people, exact for programs.
  static Cell mib(std::int64_t bytes);
  /// A share of 1: "66.3 %" for people, 0.663… for programs; null if it is not finite.
  static Cell percent(double share);
  /// Any text between quotation marks, escaped as in JSON, in all formats.
  static Cell quoted(std::string_view text);
  /// Several words: "prompt hidden" for people, an array in JSON.
  static Cell words(const std::vector<std::string>& words);
  /// JSON that only the JSON format prints.
  static Cell json(std::string text);

 private:
  friend class Table;
  std::string shown_;  ///< in text and markdown
  std::string csv_;
  std::string json_;
};

/// Rows under columns. Numbers are right-aligned. Control characters never reach a terminal.
class Table {
 public:
  enum class Align : std::uint8_t { kLeft, kRight };
  struct Column {
    std::string title;  ///< heading in text and markdown; empty: not shown there
    std::string key;    ///< name in CSV and JSON; empty: not written there
    Align align = Align::kRight;
    bool json_only = false;  ///< not in CSV either
  };

  explicit Table(std::vector<Column> columns);
  /// Throws Error(kInternal) unless there is one cell a column.
  void add(std::vector<Cell> cells);
  /// A line of totals under a rule; text and markdown only, since programs can sum.
  void add_total(std::vector<Cell> cells);
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }

  /// Ends with a newline. Text columns are two spaces apart; CSV is RFC 4180 with a heading; JSON
  /// is an array of objects, one a line.
  [[nodiscard]] std::string render(TableFormat format) const;
  /// The same as an HTML table of that class, everything escaped. Cells carry what programs read in
  /// data-v, headings their key in data-key.
  [[nodiscard]] std::string html(std::string_view css_class) const;

 private:
  struct Row {
    std::vector<Cell> cells;
    bool total = false;
  };
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::string markdown() const;
  [[nodiscard]] std::string csv() const;
  [[nodiscard]] std::string json() const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

/// "6984.505 MiB"; MiB = 2^20 bytes.
std::string mib_text(std::int64_t bytes);
/// Bytes to read at a glance: "512 B", "4.0 KiB", "128.0 MiB".
std::string bytes_text(double bytes);
/// Milliseconds to read at a glance: "35.2 us", "12.3 ms", "43.0 s".
std::string ms_text(double ms);
/// Text as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text);
/// Text for HTML, in content or in a quoted attribute.
std::string html_escape(std::string_view text);

}  // namespace airlock
