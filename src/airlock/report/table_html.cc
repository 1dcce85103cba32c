#include <fmt/format.h>

#include "airlock/report/table.h"

namespace airlock {

std::string html_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Table::html(std::string_view css_class) const {
  const auto tag = [](const Column& column) {
    return column.align == Align::kRight ? " class=\"num\"" : "";
  };
  std::string out = fmt::format("<table class=\"{}\"><thead><tr>", html_escape(css_class));
  for (const Column& column : columns_) {
    if (column.title.empty()) continue;
    out += fmt::format("<th scope=\"col\"{} data-key=\"{}\">{}</th>", tag(column),
                       html_escape(column.key), html_escape(column.title));
  }
  out += "</tr></thead><tbody>";
  bool totals = false;
  for (const Row& row : rows_) {
    if (row.total && !totals) out += "</tbody><tfoot>";
    totals = row.total;
    out += "<tr>";
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].title.empty()) continue;
      out += fmt::format("<td{} data-v=\"{}\">{}</td>", tag(columns_[i]),
                         html_escape(row.cells[i].csv_), html_escape(row.cells[i].shown_));
    }
    out += "</tr>\n";
  }
  return out + (totals ? "</tfoot></table>" : "</tbody></table>");
}

}  // namespace airlock
