#include "airlock/model/bpe.h"

#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace airlock::bpe_test {
namespace {
using Ids = std::vector<std::int32_t>;

/// A vocabulary over the letters of `alphabet` with `count` random merges, also spelled out.
struct RandomSpec {
  BpeSpec spec;
  std::vector<std::pair<std::string, std::string>> merges;
};

RandomSpec random_spec(const std::string& alphabet, std::size_t count, std::mt19937& random) {
  RandomSpec result;
  std::vector<std::string> tokens;
  const auto add = [&](const std::string& token) {
    const auto at = std::find(tokens.begin(), tokens.end(), token);
    const auto id = static_cast<std::int32_t>(at - tokens.begin());
    if (at != tokens.end()) return id;
    result.spec.vocab.emplace_back(token, id);
    tokens.push_back(token);
    return id;
  };
  for (const char letter : alphabet) add(std::string(1, letter));
  while (result.merges.size() < count) {
    const std::string left = tokens[random() % tokens.size()];
    const std::string right = tokens[random() % tokens.size()];
    const std::pair pair(left, right);
    if (std::find(result.merges.begin(), result.merges.end(), pair) != result.merges.end())
      continue;
    result.merges.push_back(pair);
    result.spec.merges.push_back({add(left), add(right), add(left + right)});
  }
  return result;
}

/// The definition: of all neighbours that a rule joins, join those of the lowest rank, leftmost
/// first.
std::vector<std::string> by_definition(const RandomSpec& spec, const std::string& word) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t i = 0; i < spec.merges.size(); ++i) ranks[spec.merges[i]] = i;
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  for (;;) {
    std::size_t best = spec.merges.size();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rule = ranks.find({parts[i], parts[i + 1]});
      if (rule != ranks.end() && rule->second < best) best = rule->second, at = i;
    }
    if (best == spec.merges.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, WordsOfAnyLengthAreMergedByTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    const RandomSpec spec = random_spec("abcd", 1 + random() % 60, random);
    std::map<std::string, std::int32_t> ids(spec.spec.vocab.begin(), spec.spec.vocab.end());
    const Bpe bpe(spec.spec, Bpe::Units::kBytes);
    Bpe::Scratch scratch;
    for (std::size_t length = 0; length < 3 * Bpe::kScanLimit; ++length) {
      std::string word;
      while (word.size() < length) word += "abcd"[random() % (1 + random() % 4)];
      Ids expected;
      for (const std::string& part : by_definition(spec, word)) expected.push_back(ids.at(part));
      Ids actual;
      bpe.encode_word(word, scratch, actual);
      EXPECT_EQ(actual, expected) << word;
    }
  }
}

TEST(Bpe, TheAlphabetNamesEveryByteOnce) {
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(alphabet_byte(byte_alphabet()[static_cast<std::size_t>(byte)]), byte);
  EXPECT_EQ(byte_alphabet()[' '], U'Ġ');
  EXPECT_EQ(byte_alphabet()['\n'], U'Ċ');
  EXPECT_EQ(byte_alphabet()['A'], U'A');
  EXPECT_EQ(alphabet_byte(U' '), -1);
  EXPECT_EQ(alphabet_byte(U'▁'), -1);
}

TEST(Bpe, WholeWordsAreTakenOnlyIfMergesAreIgnored) {
  BpeSpec spec;
  spec.vocab = {{"a", 0}, {"b", 1}, {"ab", 2}};
  for (const bool ignore : {false, true}) {
    spec.ignore_merges = ignore;
    for (const auto units : {Bpe::Units::kBytes, Bpe::Units::kCharacters}) {
      Bpe::Scratch scratch;
      Ids ids;
      Bpe(spec, units).encode_word("ab", scratch, ids);
      EXPECT_EQ(ids, (ignore ? Ids{2} : Ids{0, 1}));
    }
  }
}

TEST(Bpe, OfTwoRulesForOnePairTheLaterCounts) {
  BpeSpec spec;
  spec.vocab = {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"bc", 4}};
  spec.merges = {{0, 1, 3}, {1, 2, 4}, {0, 1, 3}};
  Bpe::Scratch scratch;
  Ids ids;
  Bpe(spec, Bpe::Units::kBytes).encode_word("abc", scratch, ids);
  EXPECT_EQ(ids, (Ids{0, 4}));
}

struct UnknownCase {
  std::string name;
  bool has_unknown, fuse, fallback;
  Ids expected;  ///< of "xéya" where only a, <0xC3> and <0xA9> are known
};

TEST(Bpe, UnknownCharactersBecomeBytesOrTheUnknownTokenOrNothing) {
  const std::vector<UnknownCase> cases = {
      {"dropped", false, false, false, {0}},
      {"each", true, false, false, {9, 9, 9, 0}},
      {"fused", true, true, false, {9, 0}},
      {"bytes only", false, false, true, {1, 2, 0}},
      // As in `tokenizers`, an unknown token stays pending across the bytes behind it.
      {"bytes first", true, true, true, {1, 2, 9, 0}},
  };
  for (const UnknownCase& c : cases) {
    BpeSpec spec;
    spec.vocab = {{"a", 0}, {"<0xC3>", 1}, {"<0xA9>", 2}, {"<unk>", 9}};
    if (c.has_unknown) spec.unk_token = "<unk>";
    spec.fuse_unk = c.fuse;
    spec.byte_fallback = c.fallback;
    Bpe::Scratch scratch;
    Ids ids;
    Bpe(spec, Bpe::Units::kCharacters).encode_word("xéya", scratch, ids);
    EXPECT_EQ(ids, c.expected) << c.name;
  }
}

}  // namespace
}  // namespace airlock::bpe_test
