#include "airlock/remote/ledger.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using ::testing::HasSubstr;

class LedgerFile : public ::testing::Test {
 protected:
  LedgerFile()
      : path_(std::filesystem::temp_directory_path() /
              ("airlock_ledger_" + std::to_string(::getpid()) + "_" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~LedgerFile() override { std::filesystem::remove(path_); }

  void write(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }

  Error read_error() {
    try {
      read_ledger(path_);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorCode::kInternal, ""};
  }

  std::filesystem::path path_;
};

LedgerEntry entry() {
  LedgerEntry e;
  e.call = 7;
  e.op = Op::kMatmul;
  e.layer = 3;
  e.sent_bytes = 16777216;
  e.received_bytes = 134217728;
  e.overhead_bytes = 208;
  e.start_ms = 12.25;
  e.encode_ms = 0.5;
  e.send_ms = 1.125;
  e.worker_ms = 20.75;
  e.receive_ms = 3.0625;
  e.decode_ms = 0.03125;
  e.total_ms = 25.46875;
  e.link = "unix";
  e.wire_dtype = DType::kBF16;
  e.sent_wire_bytes = 16000000;
  e.received_wire_bytes = 134217728;
  return e;
}

void expect_equal(const LedgerEntry& a, const LedgerEntry& b) {
  EXPECT_EQ(a.call, b.call);
  EXPECT_EQ(a.op, b.op);
  EXPECT_EQ(a.layer, b.layer);
  EXPECT_EQ(a.sent_bytes, b.sent_bytes);
  EXPECT_EQ(a.received_bytes, b.received_bytes);
  EXPECT_EQ(a.overhead_bytes, b.overhead_bytes);
  EXPECT_EQ(a.start_ms, b.start_ms);
  EXPECT_EQ(a.encode_ms, b.encode_ms);
  EXPECT_EQ(a.send_ms, b.send_ms);
  EXPECT_EQ(a.worker_ms, b.worker_ms);
  EXPECT_EQ(a.receive_ms, b.receive_ms);
  EXPECT_EQ(a.decode_ms, b.decode_ms);
  EXPECT_EQ(a.total_ms, b.total_ms);
  EXPECT_EQ(a.link, b.link);
  EXPECT_EQ(a.wire_dtype, b.wire_dtype);
  EXPECT_EQ(a.sent_wire_bytes, b.sent_wire_bytes);
  EXPECT_EQ(a.received_wire_bytes, b.received_wire_bytes);
}

/// entry() as JSON with `from` replaced, to make one thing wrong at a time.
std::string with(std::string_view from, std::string_view to) {
  std::string line = to_json(entry());
  const std::size_t at = line.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return line.replace(at, from.size(), to);
}

TEST(LedgerJson, HasTheKeysOfTheContractInItsOrderAndThenStartAndWireBytes) {
  EXPECT_EQ(to_json(entry()),
            R"({"call":7,"op":"Matmul","layer":3,"sent_bytes":16777216,)"
            R"("received_bytes":134217728,"overhead_bytes":208,"encode_ms":0.500000,)"
            R"("send_ms":1.125000,"worker_ms":20.750000,"receive_ms":3.062500,)"
            R"("decode_ms":0.031250,"total_ms":25.468750,"link":"unix","wire_dtype":"bf16",)"
            R"("start_ms":12.250000,"sent_wire_bytes":16000000,"received_wire_bytes":134217728})");
}

TEST(LedgerJson, CallsWithoutALayerSayMinusOne) {
  LedgerEntry e = entry();
  e.layer = -1;
  EXPECT_THAT(to_json(e), HasSubstr(R"("layer":-1,)"));
  EXPECT_EQ(parse_ledger_line(to_json(e), "l").layer, -1);
}

TEST(LedgerJson, AnEntryComesBackFromItsLine) {
  expect_equal(parse_ledger_line(to_json(entry()), "l"), entry());
}

TEST(LedgerJson, EveryOperatorAndDtypeComesBack) {
  for (unsigned op = 0; is_op(op); ++op) {
    LedgerEntry e = entry();
    e.op = static_cast<Op>(op);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").op, e.op);
  }
  for (unsigned dtype = 0; is_dtype(dtype); ++dtype) {
    LedgerEntry e = entry();
    e.wire_dtype = static_cast<DType>(dtype);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").wire_dtype, e.wire_dtype);
  }
}

TEST(LedgerJson, AnyLinkNameIsValidJsonAndComesBack) {
  for (const std::string link : {"a\"b\\c", "tab\tnew\nline\x01", "</script>", "名"}) {
    LedgerEntry e = entry();
    e.link = link;
    EXPECT_EQ(nlohmann::json::parse(to_json(e)).at("link"), link);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").link, link);
  }
}

TEST(LedgerJson, KeysFromLaterVersionsAreSkipped) {
  expect_equal(parse_ledger_line(with("{", R"({"codec":"zstd",)"), "l"), entry());
}

TEST(LedgerJson, WhereWireBytesAreMissingTheyAreTheRawOnes) {
  const std::string line =
      with(R"(,"sent_wire_bytes":16000000,"received_wire_bytes":134217728)", "");
  EXPECT_EQ(parse_ledger_line(line, "l").sent_wire_bytes, entry().sent_bytes);
  EXPECT_EQ(parse_ledger_line(line, "l").received_wire_bytes, entry().received_bytes);
}

TEST(LedgerJson, WhatIsWrongIsNamedWithItsPlace) {
  const struct {
    std::string line, message;
  } cases[] = {
      {"", "not a JSON object"},
      {"[1]", "not a JSON object"},
      {"{}", "no key \"call\""},
      {R"({"model_type":"llama"})", "not a line of an Airlock ledger"},
      {std::string("\0\x7f"
                   "ELF",
                   5),
       "not a JSON object"},
      {with("\"Matmul\"", "\"Matmull\""), "unknown operator \"Matmull\" (did you mean `Matmul`?)"},
      {with("\"Matmul\"", "4"), "op is 4, expected a string"},
      {with(":16777216", ":-1"), "sent_bytes is -1, expected a whole number from 0 to"},
      {with(":16777216", ":1.5"), "sent_bytes is 1.5"},
      {with(":16777216", ":281474976710657"), "sent_bytes is 281474976710657"},
      {with(":16777216", ":18446744073709551615"), "sent_bytes is 18446744073709551615"},
      {with(":16777216", ":1e400"), "not a JSON object"},
      {with(":16777216", ":\"12\""), "sent_bytes is \"12\""},
      {with(":7,", ":-7,"), "call is -7"},
      {with(":3,", ":-2,"), "layer is -2, expected a whole number from -1"},
      {with(":3,", ":null,"), "layer is null"},
      {with(":20.750000", ":-0.5"), "worker_ms is -0.5, expected milliseconds"},
      {with(":20.750000", ":1e300"), "worker_ms is 1e+300"},
      {with(":20.750000", ":NaN"), "not a JSON object"},
      {with(":20.750000", ":null"), "worker_ms is null"},
      {with(":12.250000", ":-1"), "start_ms is -1"},
      {with("\"bf16\"", "\"bf17\""), "wire_dtype: "},
      {with("\"unix\"", "7"), "link is 7, expected a string"},
  };
  for (const auto& c : cases) {
    try {
      parse_ledger_line(c.line, "run.jsonl:5");
      ADD_FAILURE() << c.line;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << c.line;
      EXPECT_THAT(error.what(), HasSubstr(c.message));
      EXPECT_THAT(error.what(), ::testing::StartsWith("run.jsonl:5: "));
    }
  }
}

TEST_F(LedgerFile, WhatIsRecordedIsRead) {
  std::vector<LedgerEntry> entries;
  FileLedger ledger(path_);
  for (int i = 0; i < 1000; ++i) {
    LedgerEntry e = entry();
    e.call = i;
    e.start_ms = i;
    entries.push_back(e);
    ledger.record(e);
  }
  ledger.close();
  const std::vector<LedgerEntry> read = read_ledger(path_);
  ASSERT_EQ(read.size(), entries.size());
  for (std::size_t i = 0; i < read.size(); ++i) expect_equal(read[i], entries[i]);
}

TEST_F(LedgerFile, CallsOlderThanTheFlushIntervalAreInTheFileBeforeItIsClosed) {
  FileLedger ledger(path_);
  LedgerEntry e = entry();
  ledger.record(e);
  e.start_ms = 500;
  ledger.record(e);
  EXPECT_EQ(read_ledger(path_).size(), 2U);
}

TEST_F(LedgerFile, CallsWithoutAStartFollowOneAnother) {
  const std::string line = with(",\"start_ms\":12.250000", "");
  write(line + "\n" + line + "\n");
  const std::vector<LedgerEntry> entries = read_ledger(path_);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].start_ms, 0);
  EXPECT_EQ(entries[1].start_ms, entries[0].total_ms);
}

TEST_F(LedgerFile, ALastLineWithoutNewlineCountsIfItIsWhole) {
  write(to_json(entry()) + "\n" + to_json(entry()));
  EXPECT_EQ(read_ledger(path_).size(), 2U);
}

TEST_F(LedgerFile, ACutOffLastLineIsNamedWhereverTheCutIs) {
  const std::string line = to_json(entry());
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
  EXPECT_THAT(read_error().what(), HasSubstr("empty"));
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
  const std::string line = with(":16777216", ":281474976710656") + "\n";
  for (int i = 0; i < 5000; ++i) text += line;
  write(text);
  EXPECT_THAT(read_error().what(), HasSubstr(":4096: more than 2^60 bytes"));
}

TEST_F(LedgerFile, NoBytesWhateverMakeTheReaderFailInAnotherWay) {
  std::mt19937 random(1);
  const std::string good = to_json(entry()) + "\n" + to_json(entry()) + "\n";
  for (int i = 0; i < 500; ++i) {
    std::string text = good;
    for (int flips = 0; flips < 3; ++flips) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    write(text);
    try {
      for (const LedgerEntry& e : read_ledger(path_)) {
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
  LedgerEntry e = entry();
  e.start_ms = 1000;
  EXPECT_THROW(
      {
        full.record(e);
        full.close();
      },
      Error);
}

}  // namespace
}  // namespace airlock
