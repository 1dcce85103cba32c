// Reads the goldens that tools/make_tokenizer_goldens.py recorded, and small helpers for the
// tokenizer tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/model/tokenizer.h"

#include "tests/support/paths.h"

namespace airlock::goldens {

using Ids = std::vector<std::int32_t>;

inline std::filesystem::path folder() {
  return testing::data_dir() / "tokenizer";
}

inline std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << path;
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

inline std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = (bits << 6U) | static_cast<std::uint32_t>(kDigits.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xFFU));
  }
  return out;
}

inline Ids unpack(std::string_view text) {
  const std::string bytes = from_base64(text);
  Ids ids;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
    ids.push_back(static_cast<unsigned char>(bytes[i]) |
                  (static_cast<unsigned char>(bytes[i + 1]) << 8));
  return ids;
}

struct Text {
  std::string raw;      ///< bytes, not always UTF-8
  Ids ids;              ///< without special tokens
  std::string decoded;  ///< of `ids`
};
struct Decoding {
  Ids ids;
  std::string skipped, kept;  ///< special tokens skipped, and kept
};
/// Ids behind others, whose text is printed already.
struct Continuation {
  Ids before, ids;
  std::string text;
};
/// All that was recorded of one tokenizer.
struct Group {
  std::string name;
  nlohmann::json patch;  ///< over the base tokenizer.json
  Ids before, after;     ///< what encoding with special tokens adds
  std::vector<Text> texts;
  std::vector<Decoding> decodings;
  std::vector<Continuation> continuations;
};

inline std::vector<Group> load(const std::string& file) {
  std::vector<std::string> raws;
  std::istringstream lines(read(folder() / "texts.jsonl"));
  for (std::string line; std::getline(lines, line);)
    raws.push_back(from_base64(nlohmann::json::parse(line).get<std::string>()));
  std::vector<Group> groups;
  std::istringstream cases(read(folder() / file));
  for (std::string line; std::getline(cases, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("name")) {
      groups.push_back({json["name"], json["patch"], {}, {}, {}, {}, {}});
    } else if (json.contains("s")) {
      groups.back().before = json["s"][0].get<Ids>();
      groups.back().after = json["s"][1].get<Ids>();
    } else if (json.contains("t")) {
      const std::string& raw = raws.at(json["t"].get<std::size_t>());
      groups.back().texts.push_back(
          {raw, unpack(json["i"].get<std::string>()),
           json.contains("d") ? from_base64(json["d"].get<std::string>()) : raw});
    } else if (json.contains("p")) {
      groups.back().continuations.push_back({unpack(json["p"].get<std::string>()),
                                             unpack(json["x"].get<std::string>()),
                                             from_base64(json["k"].get<std::string>())});
    } else {
      const std::string skipped = from_base64(json["k"].get<std::string>());
      groups.back().decodings.push_back(
          {unpack(json["x"].get<std::string>()), skipped,
           json.contains("a") ? from_base64(json["a"].get<std::string>()) : skipped});
    }
  }
  return groups;
}

inline std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  const auto decoder = tokenizer.stream_decoder(skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += decoder->push(id);
  return text + decoder->flush();
}

/// Checks every text and decoding of `group`. `kept_too`: the goldens know what keeping special
/// tokens prints.
inline void expect_equal(const Tokenizer& tokenizer, const Group& group, bool kept_too) {
  SCOPED_TRACE(group.name);
  for (const Text& text : group.texts) {
    SCOPED_TRACE(::testing::PrintToString(text.raw));
    EXPECT_EQ(tokenizer.encode(text.raw, false), text.ids);
    Ids with_special = group.before;
    with_special.insert(with_special.end(), text.ids.begin(), text.ids.end());
    with_special.insert(with_special.end(), group.after.begin(), group.after.end());
    EXPECT_EQ(tokenizer.encode(text.raw, true), with_special);
    EXPECT_EQ(tokenizer.decode(text.ids, true), text.decoded);
    EXPECT_EQ(stream(tokenizer, text.ids, true), text.decoded);
  }
  for (const Decoding& decoding : group.decodings) {
    SCOPED_TRACE(::testing::PrintToString(decoding.ids));
    EXPECT_EQ(tokenizer.decode(decoding.ids, true), decoding.skipped);
    EXPECT_EQ(stream(tokenizer, decoding.ids, true), decoding.skipped);
    if (!kept_too) continue;
    EXPECT_EQ(tokenizer.decode(decoding.ids, false), decoding.kept);
    EXPECT_EQ(stream(tokenizer, decoding.ids, false), decoding.kept);
  }
  for (const Continuation& continuation : group.continuations) {
    SCOPED_TRACE(::testing::PrintToString(continuation.before));
    SCOPED_TRACE(::testing::PrintToString(continuation.ids));
    const auto decoder = tokenizer.stream_decoder();
    for (const std::int32_t id : continuation.before) (void)decoder->push(id);
    decoder->mark_printed();
    std::string text;
    for (const std::int32_t id : continuation.ids) decoder->push(id, text);
    decoder->flush(text);
    EXPECT_EQ(text, continuation.text);
  }
}

}  // namespace airlock::goldens
