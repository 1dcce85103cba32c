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
