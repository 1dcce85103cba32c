#include "airlock/report/table.h"

#include <limits>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::table_test {
namespace {
using ::testing::HasSubstr;

Table sample() {
  Table table({{"plan", "plan", Table::Align::kLeft},
               {"total MiB", "total_bytes"},
               {"", "hidden"},
               {"only shown", ""},
               {"", "ops", Table::Align::kLeft, true}});
  table.add({"baseline", Cell::mib(7323784192), 1, 2, Cell::json(R"([{"op":"Matmul"}])")});
  table.add({"bf16, f16", Cell::mib(1 << 20), Cell(), "x", Cell()});
  return table;
}

TEST(Table, TextAlignsNumbersToTheRightAndTrimsLineEnds) {
  EXPECT_EQ(sample().render(TableFormat::kText),
            "plan       total MiB  only shown\n"
            "--------------------------------\n"
            "baseline    6984.505           2\n"
            "bf16, f16      1.000           x\n");
}

TEST(Table, MarkdownMarksAlignment) {
  EXPECT_EQ(sample().render(TableFormat::kMarkdown),
            "| plan | total MiB | only shown |\n"
            "| --- | ---: | ---: |\n"
            "| baseline | 6984.505 | 2 |\n"
            "| bf16, f16 | 1.000 | x |\n");
}

TEST(Table, CsvHasExactNumbersAndQuotesWhatNeedsIt) {
  EXPECT_EQ(sample().render(TableFormat::kCsv),
            "plan,total_bytes,hidden\r\n"
            "baseline,7323784192,1\r\n"
            "\"bf16, f16\",1048576,\r\n");
}

TEST(Table, JsonIsAnArrayOfObjectsWithNestedCells) {
  const auto json = nlohmann::json::parse(sample().render(TableFormat::kJson));
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["plan"], "baseline");
  EXPECT_EQ(json[0]["total_bytes"], 7323784192);
  EXPECT_EQ(json[0]["ops"][0]["op"], "Matmul");
  EXPECT_TRUE(json[1]["hidden"].is_null());
  EXPECT_FALSE(json[0].contains(""));
}

TEST(Table, AnEmptyTableIsValidInEveryFormat) {
  const Table table(std::vector<Table::Column>{{"a", "a"}});
  EXPECT_EQ(table.render(TableFormat::kText), "a\n-\n");
  EXPECT_EQ(table.render(TableFormat::kCsv), "a\r\n");
  EXPECT_EQ(nlohmann::json::parse(table.render(TableFormat::kJson)).size(), 0U);
}

TEST(Table, TotalsStandUnderARuleAndStayOutOfWhatProgramsRead) {
  Table table(std::vector<Table::Column>{{"n", "n"}});
  table.add({1});
  table.add_total({7});
  EXPECT_EQ(table.render(TableFormat::kText), "n\n-\n1\n-\n7\n");
  EXPECT_THAT(table.render(TableFormat::kMarkdown), HasSubstr("| **7** |"));
  EXPECT_EQ(table.render(TableFormat::kCsv), "n\r\n1\r\n");
  EXPECT_EQ(nlohmann::json::parse(table.render(TableFormat::kJson)).size(), 1U);
}

TEST(Table, ARowOfAnotherLengthIsAnInternalError) {
  Table table(std::vector<Table::Column>{{"a", "a"}});
  EXPECT_THROW(table.add({1, 2}), Error);
}

TEST(Table, HostileTextReachesNeitherTerminalNorMarkupNorJson) {
  Table table(std::vector<Table::Column>{{"t", "t", Table::Align::kLeft}});
  table.add({"\x1b[2J|<b>\xc2\x9b\xff"});
  const std::string text = table.render(TableFormat::kText);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  EXPECT_THAT(table.render(TableFormat::kMarkdown), HasSubstr("\\|\\<b>"));
  EXPECT_NO_THROW({ const auto json = nlohmann::json::parse(table.render(TableFormat::kJson)); });
}

TEST(Cell, NumbersThatAreNotFiniteAreNull) {
  Table table(std::vector<Table::Column>{{"x", "x"}});
  table.add({Cell::fixed(std::numeric_limits<double>::infinity(), 2)});
  table.add({Cell::percent(std::numeric_limits<double>::quiet_NaN())});
  for (const auto& row : nlohmann::json::parse(table.render(TableFormat::kJson))) {
    EXPECT_TRUE(row["x"].is_null());
  }
}

TEST(TableFormats, AnUnknownNameSuggestsTheNearest) {
  EXPECT_EQ(parse_table_format("md"), TableFormat::kMarkdown);
  try {
    parse_table_format("jsn");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("did you mean `json`"));
  }
}

TEST(Units, ReadAtAGlance) {
  EXPECT_EQ(mib_text(7323784192), "6984.505 MiB");
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(4096), "4.0 KiB");
  EXPECT_EQ(bytes_text(134217728), "128.0 MiB");
  EXPECT_EQ(ms_text(0.0352), "35.2 us");
  EXPECT_EQ(ms_text(12.34), "12.3 ms");
  EXPECT_EQ(ms_text(43000), "43.0 s");
}

}  // namespace
}  // namespace airlock::table_test
