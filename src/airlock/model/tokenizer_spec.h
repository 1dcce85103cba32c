// A tokenizer.json as plain data, checked: what the BPE tokenizer is built from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace airlock {

/// A token that is looked for in the text before anything else splits it.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;      ///< skipped by decode on request
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< looked for in the normalized text instead of the text itself
};

/// A merge rule: where tokens `left` and `right` are neighbours, `merged` takes their place.
struct BpeMerge {
  std::int32_t left, right, merged;
};

/// Byte-pair encoding: vocabulary, and merges by rank.
struct BpeSpec {
  std::vector<std::pair<std::string, std::int32_t>> vocab;  ///< texts unique, ids unique
  std::vector<BpeMerge> merges;                             ///< lowest rank first
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       ///< a run of unknown characters is one unknown token
  bool byte_fallback = false;  ///< an unknown character becomes its bytes' <0xNN> tokens
  bool ignore_merges = false;  ///< a word that is in the vocabulary is taken whole
};

/// One step of the normalizer: put `to` before the text, or put `to` for each `from`.
struct NormalizerStep {
  enum Kind : std::uint8_t { kPrepend, kReplace };
  Kind kind = kPrepend;
  std::string from;
  std::string to;
};

/// One step of the pre-tokenizer; which fields count depends on `kind`.
struct PreTokenizerStep {
  enum Kind : std::uint8_t { kSplit, kByteLevel, kMetaspace };
  enum Behavior : std::uint8_t { kIsolated, kRemoved };
  enum Prepend : std::uint8_t { kNever, kFirst, kAlways };
  Kind kind = kSplit;
  std::string pattern;            ///< kSplit: an Oniguruma regex, or text if `literal`
  bool literal = false;           ///< kSplit
  bool invert = false;            ///< kSplit: the pattern is what is kept, not what separates
  Behavior behavior = kIsolated;  ///< kSplit
  bool add_prefix_space = false;  ///< kByteLevel
  bool use_regex = true;          ///< kByteLevel: split as GPT-2 does
  std::string replacement;        ///< kMetaspace: stands for a space
  Prepend prepend = kAlways;      ///< kMetaspace
  bool split = true;              ///< kMetaspace: a piece starts at each replacement
};

/// How tokens become text: bytes behind GPT-2's alphabet, or text with replacements.
struct DecoderSpec {
  enum Kind : std::uint8_t { kByteLevel, kReplace, kMetaspace };
  Kind kind = kByteLevel;
  std::string from;              ///< kReplace, kMetaspace: becomes `to`; empty: nothing is replaced
  std::string to;                ///< kReplace
  bool byte_fallback = false;    ///< kReplace: <0xNN> is a byte
  std::string strip;             ///< kReplace: character taken off the front of the text
  std::int64_t strip_count = 0;  ///< kReplace: at most so many of them
  bool drop_first = true;        ///< kMetaspace: the first token's replacements vanish
};

/// Everything that counts in a tokenizer.json.
struct TokenizerSpec {
  BpeSpec bpe;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  DecoderSpec decoder;
  std::vector<std::int32_t> prefix;  ///< what the template puts before a text
  std::vector<std::int32_t> suffix;  ///< and after it
};

/// Ids must stay below this: 16 times the largest vocabulary in use, and tables indexed by id stay
/// small whatever a file says.
inline constexpr std::int32_t kMaxTokenId = (1 << 22) - 1;

/// Reads and checks a tokenizer.json; `where` (its path) starts every message.
/// Throws Error(kCorruptFile) or Error(kUnsupported).
TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where);

/// BOS and EOS as tokenizer_config.json names them, and whether encode adds them.
struct TokenizerNames {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
};

/// Reads a tokenizer_config.json. Throws Error(kCorruptFile).
TokenizerNames parse_tokenizer_config(std::string_view json, const std::string& where);

}  // namespace airlock
