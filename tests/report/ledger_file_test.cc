#include "airlock/report/ledger_file.h"

#include <filesystem>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/report/ledger_lines.h"
#include "tests/support/temp_dir.h"

namespace airlock::ledger_file_test {
namespace {
using testing::expect_equal;
using ::testing::HasSubstr;
using testing::some_call;
using testing::some_header;

class LedgerFile : public ::testing::Test {
 protected:
  void write(std::string_view text) { testing::write_file(path_, text); }

  Error read_error() {
    try {
      read_ledger(path_);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorCode::kInternal, ""};
  }

  testing::TempDir dir_;
  std::filesystem::path path_ = dir_ / "run.jsonl";
};

TEST_F(LedgerFile, WhatIsRecordedIsRead) {
  std::vector<LedgerEntry> entries;
  FileLedger ledger(path_);
  ledger.begin(some_header());
  for (int i = 0; i < 1000; ++i) {
    LedgerEntry e = some_call();
    e.call = i;
    e.start_ms = i;
    entries.push_back(e);
    ledger.record(e);
  }
  ledger.close();
  const Ledger read = read_ledger(path_);
  EXPECT_EQ(read.header, some_header());
  ASSERT_EQ(read.entries.size(), entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) expect_equal(read.entries[i], entries[i]);
}

TEST_F(LedgerFile, OneWithoutAFirstLineThatSaysWhatRanIsReadAsOlderVersionsWroteIt) {
  write(to_json(some_call()) + "\n" + to_json(some_call()) + "\n");
  const Ledger read = read_ledger(path_);
  EXPECT_FALSE(read.header.has_value());
  ASSERT_EQ(read.entries.size(), 2U);
  expect_equal(read.entries[1], some_call());
}

TEST_F(LedgerFile, OnlyItsFirstLineMaySayWhatRan) {
  const std::string call = to_json(some_call()) + "\n";
  const std::string header = to_json(some_header()) + "\n";
  for (const auto& [text, line] : {std::pair{header + header + call, ":2: "},
                                   {header + call + header + call, ":3: "},
                                   {call + header, ":2: "}}) {
    write(text);
    const Error error = read_error();
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_THAT(error.what(),
                HasSubstr(line + std::string("says model, plan and link, which only")));
  }
}

TEST_F(LedgerFile, CallsOlderThanTheFlushIntervalAreInTheFileBeforeItIsClosed) {
  FileLedger ledger(path_);
  ledger.begin(some_header());
  LedgerEntry e = some_call();
  ledger.record(e);
  e.start_ms = 500;
  ledger.record(e);
  EXPECT_EQ(read_ledger(path_).entries.size(), 2U);
}

TEST_F(LedgerFile, CallsWithoutAStartFollowOneAnother) {
  std::string line = to_json(some_call());
  const std::string start = ",\"start_ms\":12.250000";
  line.erase(line.find(start), start.size());
  write(line + "\n" + line + "\n");
  const std::vector<LedgerEntry> entries = read_ledger(path_).entries;
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].start_ms, 0);
  EXPECT_EQ(entries[1].start_ms, entries[0].total_ms);
}

TEST_F(LedgerFile, ALastLineWithoutNewlineCountsIfItIsWhole) {
  write(to_json(some_call()) + "\n" + to_json(some_call()));
  EXPECT_EQ(read_ledger(path_).entries.size(), 2U);
}

TEST_F(LedgerFile, ACutOffLastLineIsNamedWhereverTheCutIs) {
  const std::string line = to_json(some_call());
  for (std::size_t cut = 1; cut < line.size(); ++cut) {
    write(line + "\n" + line.substr(0, cut));
    const Error error = read_error();
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_THAT(error.what(), HasSubstr(path_.string() + ":2: the last line is cut off"));
  }
}

TEST_F(LedgerFile, AMissingFileAFolderAndAnEmptyFileAreToldApart) {
  EXPECT_EQ(read_error().code(), ErrorCode::kNotFound);
  std::filesystem::create_directory(path_);
  EXPECT_EQ(read_error().code(), ErrorCode::kIo);
  std::filesystem::remove(path_);
  write("");
  EXPECT_EQ(read_error().code(), ErrorCode::kCorruptFile);
  EXPECT_THAT(read_error().what(), HasSubstr(":1: the ledger is empty"));
  write(to_json(some_header()) + "\n");
  EXPECT_THAT(read_error().what(), HasSubstr(":2: the ledger is empty"));
}

TEST_F(LedgerFile, AForeignFileIsRefusedAtItsFirstLine) {
  write("{\n  \"model_type\": \"llama\"\n}\n");
  EXPECT_THAT(read_error().what(), HasSubstr(":1: not a JSON object"));
  write(std::string(1 << 20, 'x'));
  EXPECT_THAT(read_error().what(), HasSubstr(":1: a line of more than 65535 bytes"));
  write(std::string(1 << 20, '\0'));
  EXPECT_EQ(read_error().code(), ErrorCode::kCorruptFile);
}

TEST_F(LedgerFile, BytesWhoseSumCouldOverflowAreRefused) {
  std::string text;
  LedgerEntry large = some_call();
  large.sent_bytes = std::int64_t{1} << 48;
  large.received_bytes = large.overhead_bytes = 0;
  const std::string line = to_json(large) + "\n";
  for (int i = 0; i < 5000; ++i) text += line;
  write(text);
  EXPECT_THAT(read_error().what(), HasSubstr(":4097: more than 2^60 bytes"));
}

TEST_F(LedgerFile, NoBytesWhateverMakeTheReaderFailInAnotherWay) {
  std::mt19937 random(1);
  const std::string good =
      to_json(some_header()) + "\n" + to_json(some_call()) + "\n" + to_json(some_call()) + "\n";
  for (int i = 0; i < 500; ++i) {
    std::string text = good;
    for (int flips = 0; flips < 3; ++flips) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    write(text);
    try {
      for (const LedgerEntry& e : read_ledger(path_).entries) {
        EXPECT_GE(e.sent_bytes, 0);
        EXPECT_GE(e.total_ms, 0);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    }
  }
}

TEST(FileLedger, ALedgerThatCannotBeCreatedOrWrittenIsAnError) {
  EXPECT_THROW(FileLedger("/nowhere/at/all/run.jsonl"), Error);
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  FileLedger full("/dev/full");
  LedgerEntry e = some_call();
  e.start_ms = 1000;
  EXPECT_THROW(
      {
        full.record(e);
        full.close();
      },
      Error);
}

}  // namespace
}  // namespace airlock::ledger_file_test
