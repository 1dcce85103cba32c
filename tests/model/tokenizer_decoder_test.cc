#include "airlock/model/tokenizer_decoder.h"

#include <gtest/gtest.h>

namespace airlock::tokenizer_decoder_test {
namespace {

/// What each token adds to the stream, then what the end adds.
std::vector<std::string> stream(const DecoderSpec& spec, const std::vector<std::string>& tokens) {
  const auto decoder = make_stream_decoder(spec, [&tokens](std::int32_t id) -> std::string_view {
    return tokens.at(static_cast<std::size_t>(id));
  });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    out.push_back(decoder->push(static_cast<std::int32_t>(i)));
  out.push_back(decoder->flush());
  return out;
}

using Strings = std::vector<std::string>;
const std::string kReplaced = "\xEF\xBF\xBD";
const std::string kReplacedThenX = "\xEF\xBF\xBDx";
const std::string kReplacedThrice = "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD";

TEST(StreamDecoder, ByteLevelHoldsBackTheStartOfACharacterOnly) {
  // U+20AC is E2 82 AC: "â", "Ĥ", "¬" in the alphabet.
  EXPECT_EQ(stream({}, {"Ġa", "â", "Ĥ", "¬b"}), (Strings{" a", "", "", "€b", ""}));
  EXPECT_EQ(stream({}, {"â", "x"}), (Strings{"", kReplacedThenX, ""}));
  EXPECT_EQ(stream({}, {"âĤ"}), (Strings{"", kReplaced}));
}

TEST(StreamDecoder, ByteLevelPrintsTokensOutsideTheAlphabetAsTheyAre) {
  EXPECT_EQ(stream({}, {"<a b>", "▁"}), (Strings{"<a b>", "▁", ""}));
}

TEST(StreamDecoder, ByteFallbackWaitsForTheEndOfARun) {
  const DecoderSpec spec = {
      .kind = DecoderSpec::kReplace, .from = "▁", .to = " ", .byte_fallback = true, .strip = ""};
  EXPECT_EQ(stream(spec, {"<0xC3>", "<0xA9>", "▁a"}), (Strings{"", "", "é a", ""}));
  EXPECT_EQ(stream(spec, {"<0xC3>", "<0xA9>", "<0xFF>"}), (Strings{"", "", "", kReplacedThrice}));
  EXPECT_EQ(stream(spec, {"<0xGG>"}), (Strings{"<0xGG>", ""}));
}

TEST(StreamDecoder, StripTakesFromTheFrontOfTheTextOnly) {
  const DecoderSpec spec = {
      .kind = DecoderSpec::kReplace, .from = "▁", .to = " ", .strip = " ", .strip_count = 2};
  EXPECT_EQ(stream(spec, {"", "▁", "▁▁a", "▁b"}), (Strings{"", "", " a", " b", ""}));
  EXPECT_EQ(stream(spec, {"a", "▁b"}), (Strings{"a", " b", ""}));
}

TEST(StreamDecoder, MetaspaceDropsTheFirstTokensMark) {
  DecoderSpec spec = {.kind = DecoderSpec::kMetaspace, .from = "▁", .to = "", .strip = ""};
  EXPECT_EQ(stream(spec, {"▁a▁", "▁b"}), (Strings{"a", " b", ""}));
  spec.drop_first = false;
  EXPECT_EQ(stream(spec, {"▁a", "▁b"}), (Strings{" a", " b", ""}));
}

TEST(StreamDecoder, BehindPrintedTextNothingIsTakenOffTheFront) {
  const Strings tokens = {"▁a", "<0x0A>", "<0xC3>", "▁b", "<0xA9>"};
  const auto text_of = [&tokens](std::int32_t id) -> std::string_view {
    return tokens.at(static_cast<std::size_t>(id));
  };
  const DecoderSpec strip = {.kind = DecoderSpec::kReplace,
                             .from = "▁",
                             .to = " ",
                             .byte_fallback = true,
                             .strip = " ",
                             .strip_count = 1};
  const DecoderSpec metaspace = {
      .kind = DecoderSpec::kMetaspace, .from = "▁", .to = "", .strip = ""};
  const auto behind = [&](const DecoderSpec& spec, const std::vector<std::int32_t>& printed,
                          const std::vector<std::int32_t>& ids) {
    const auto decoder = make_stream_decoder(spec, text_of);
    for (const std::int32_t id : printed) (void)decoder->push(id);
    decoder->mark_printed();
    std::string text;
    for (const std::int32_t id : ids) decoder->push(id, text);
    decoder->flush(text);
    return text;
  };
  EXPECT_EQ(behind(strip, {0}, {3}), " b");
  EXPECT_EQ(behind(strip, {1}, {3}), " b");  // a run is dropped, and was text
  EXPECT_EQ(behind(strip, {}, {3}), "b");
  EXPECT_EQ(behind(strip, {0, 1, 2}, {4, 3}), "é b");  // but for an unfinished character
  EXPECT_EQ(behind(metaspace, {0}, {3}), " b");
  EXPECT_EQ(behind(metaspace, {}, {3}), "b");
}

TEST(StreamDecoder, IsAsNewAfterFlush) {
  DecoderSpec spec = {.kind = DecoderSpec::kMetaspace, .from = "▁", .to = "", .strip = ""};
  const auto decoder = make_stream_decoder(spec, [](std::int32_t) { return "▁a"; });
  std::string text;
  decoder->push(0, text);
  decoder->push(0, text);
  decoder->flush(text);
  decoder->push(0, text);
  EXPECT_EQ(text, "a aa");
}

}  // namespace
}  // namespace airlock::tokenizer_decoder_test
