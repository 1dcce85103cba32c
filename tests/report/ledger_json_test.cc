#include "airlock/report/ledger_json.h"

#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/report/ledger_lines.h"

namespace airlock::ledger_json_test {
namespace {
using testing::expect_equal;
using ::testing::HasSubstr;
using testing::some_call;
using testing::some_header;

/// some_call() as JSON with `from` replaced, to make one thing wrong at a time.
std::string with(std::string_view from, std::string_view to) {
  std::string line = to_json(some_call());
  const std::size_t at = line.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return line.replace(at, from.size(), to);
}

TEST(LedgerJson, HasTheKeysOfTheContractInItsOrderAndThenStartAndWireBytes) {
  EXPECT_EQ(to_json(some_call()),
            R"({"call":7,"op":"Matmul","layer":3,"sent_bytes":16777216,)"
            R"("received_bytes":134217728,"overhead_bytes":208,"encode_ms":0.500000,)"
            R"("send_ms":1.125000,"worker_ms":20.750000,"receive_ms":3.062500,)"
            R"("decode_ms":0.031250,"total_ms":25.468750,"link":"unix","wire_dtype":"bf16",)"
            R"("start_ms":12.250000,"sent_wire_bytes":16000000,"received_wire_bytes":134217728})");
}

TEST(LedgerJson, CallsWithoutALayerSayMinusOne) {
  LedgerEntry e = some_call();
  e.layer = -1;
  EXPECT_THAT(to_json(e), HasSubstr(R"("layer":-1,)"));
  EXPECT_EQ(parse_ledger_line(to_json(e), "l").entry.layer, -1);
}

TEST(LedgerJson, AnEntryComesBackFromItsLine) {
  expect_equal(parse_ledger_line(to_json(some_call()), "l").entry, some_call());
}

TEST(LedgerJson, EveryOperatorAndDtypeComesBack) {
  for (unsigned op = 0; is_op(op); ++op) {
    LedgerEntry e = some_call();
    e.op = static_cast<Op>(op);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").entry.op, e.op);
  }
  for (unsigned dtype = 0; is_dtype(dtype); ++dtype) {
    LedgerEntry e = some_call();
    e.wire_dtype = static_cast<DType>(dtype);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").entry.wire_dtype, e.wire_dtype);
  }
}

TEST(LedgerJson, AnyLinkNameIsValidJsonAndComesBack) {
  for (const std::string link : {"a\"b\\c", "tab\tnew\nline\x01", "</script>", "名"}) {
    LedgerEntry e = some_call();
    e.link = link;
    EXPECT_EQ(nlohmann::json::parse(to_json(e)).at("link"), link);
    EXPECT_EQ(parse_ledger_line(to_json(e), "l").entry.link, link);
  }
}

TEST(LedgerJson, TheFirstLineSaysModelPlanAndLink) {
  EXPECT_EQ(to_json(some_header()),
            R"({"model":{"name":"llama \"x\"","fingerprint":"0123456789ab","layers":3,"hidden":40,)"
            R"("heads":6,"kv_heads":2,"head_dim":10,"ffn":91,"vocab":257,"max_position":4096},)"
            R"("plan":{"name":"flash+f16+chunk7","attention":"flash","mlp":"block",)"
            R"("wire_dtype":"f16","embedding":"runner","lm_head":"runner","chunk":7},)"
            R"("link":"unix"})");
}

TEST(LedgerJson, AHeaderComesBackFromItsLineAndACallHasNone) {
  EXPECT_EQ(parse_ledger_line(to_json(some_header()), "l").header, some_header());
  EXPECT_FALSE(parse_ledger_line(to_json(some_call()), "l").header.has_value());
  for (const Plan& plan : preset_plans()) {
    LedgerHeader header = some_header();
    header.plan = plan;
    EXPECT_EQ(parse_ledger_line(to_json(header), "l").header, header);
  }
}

TEST(LedgerJson, AHeaderSaysItsSequencesIfTheyAreKnown) {
  LedgerHeader header = some_header();
  header.sequences = {16, 1024, 9};
  const std::string line = to_json(header);
  EXPECT_THAT(line, HasSubstr(R"("link":"unix","sequences":{"count":16,"prompt":1024,)"
                              R"("generated":9}})"));
  EXPECT_EQ(parse_ledger_line(line, "l").header, header);
  for (const auto& [from, to] : {std::pair("16", "0"),
                                 {"16", "65"},
                                 {"16", "16.5"},
                                 {"1024", "0"},
                                 {"1024", "99999999999999999"},
                                 {":9}", ":-1}"},
                                 {R"("prompt")", R"("promt")"}}) {
    std::string wrong = line;
    wrong.replace(wrong.find(from, wrong.find("sequences")), std::string_view(from).size(), to);
    EXPECT_THROW(parse_ledger_line(wrong, "l"), Error) << wrong;
  }
}

TEST(LedgerJson, KeysOfALaterFirstLineAreSkipped) {
  std::string line = to_json(some_header());
  for (const char* object : {"{\"model\"", "{\"name\":\"llama", "{\"name\":\"flash"}) {
    line.insert(line.find(object) + 1, R"("seed":[1,{"x":2}],)");
  }
  EXPECT_EQ(parse_ledger_line(line, "l").header, some_header());
}

TEST(LedgerJson, KeysFromLaterVersionsAreSkipped) {
  expect_equal(parse_ledger_line(with("{", R"({"codec":"zstd",)"), "l").entry, some_call());
}

TEST(LedgerJson, WhereWireBytesAreMissingTheyAreTheRawOnes) {
  const std::string line =
      with(R"(,"sent_wire_bytes":16000000,"received_wire_bytes":134217728)", "");
  EXPECT_EQ(parse_ledger_line(line, "l").entry.sent_wire_bytes, some_call().sent_bytes);
  EXPECT_EQ(parse_ledger_line(line, "l").entry.received_wire_bytes, some_call().received_bytes);
}

TEST(LedgerJson, WhatIsWrongWithAHeaderIsNamedWithItsPlace) {
  const std::string long_name(257, 'x');
  const struct {
    std::string from, to, message;
  } cases[] = {
      {R"("fingerprint":"0123456789ab",)", "", "no key \"fingerprint\""},
      {R"("layers":3,)", "", "no key \"layers\""},
      {R"("model":{)", R"("model":7,"was":{)", "model is 7, expected an object"},
      {R"("heads":6)", R"("heads":-6)", "heads is -6"},
      {R"("kv_heads":2)", R"("kv_heads":4)", "does not divide"},
      {R"("layers":3)", R"("layers":9999999999)", "layers"},
      {R"("head_dim":10)", R"("head_dim":1e9)", "head_dim is"},
      {R"("flash+f16+chunk7")", "\"" + long_name + "\"",
       "name has 257 bytes, expected 256 at most"},
      {"0123456789ab", long_name, "fingerprint has 257 bytes"},
      {R"("unix")", "\"" + long_name + "\"", "link has 257 bytes"},
      {R"("unix")", "null", "link is null"},
      {R"("flash",)", R"("flsh",)", "attention: "},
      {R"("block")", "3", "mlp is 3"},
      {R"("f16")", R"("i64")", "i64"},
      {R"("embedding":"runner")", R"("embedding":"nobody")", "embedding: "},
      {R"("chunk":7)", R"("chunk":-7)", "chunk is -7"},
      {R"("chunk":7)", R"("chunk":"7")", "chunk is \"7\""},
  };
  for (const auto& c : cases) {
    std::string line = to_json(some_header());
    const std::size_t at = line.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    line.replace(at, c.from.size(), c.to);
    try {
      parse_ledger_line(line, "run.jsonl:1");
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << line;
      EXPECT_THAT(error.what(), HasSubstr(c.message));
      EXPECT_THAT(error.what(), ::testing::StartsWith("run.jsonl:1: "));
    }
  }
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
      {with("unix", std::string(257, 'x')), "link has 257 bytes, expected 256 at most"},
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

}  // namespace
}  // namespace airlock::ledger_json_test
