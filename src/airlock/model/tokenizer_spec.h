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

/// One step of the normalizer: put `to` before the text, put `to` for each `from` (a text, or a
/// regex), lower case, or white space taken off an end.
struct NormalizerStep {
  enum Kind : std::uint8_t { kPrepend, kReplace, kReplaceMatches, kLowercase, kStrip };
  Kind kind = kPrepend;
  std::string from;    ///< kReplace, kReplaceMatches: not empty
  std::string to;      ///< kPrepend, kReplace, kReplaceMatches
  bool left = false;   ///< kStrip
  bool right = false;  ///< kStrip
};

/// One step of the pre-tokenizer; which fields count depends on `kind`. Digits and Punctuation are
/// splits.
struct PreTokenizerStep {
  enum Kind : std::uint8_t { kSplit, kByteLevel, kMetaspace };
  /// What becomes of a match: a word of its own, none, one with the matches beside it (and so the
  /// text between matches), or part of the text before it or after it.
  enum Behavior : std::uint8_t {
    kIsolated,
    kRemoved,
    kContiguous,
    kMergedWithPrevious,
    kMergedWithNext
  };
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
  /// The model is Unigram: `bpe` has its vocabulary only, and normalizer, decoder and all of the
  /// pre-tokenizer but Metaspace are left out: the tokenizer.model that it was made from has them.
  bool unigram = false;
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

/// Reads and checks a tokenizer.json. Of added tokens with the same text the first counts (it is
/// special if any is), and the ids of the others are holes; `where` (its path) starts every
/// message. Throws Error(kCorruptFile) or Error(kUnsupported).
TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where);

/// What the files beside a vocabulary say: BOS and EOS, whether encode adds them, and tokens that
/// the vocabulary's own file does not have.
struct TokenizerNames {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::vector<std::string> special;  ///< all tokens named as special: BOS, EOS, padding, additional
  /// Of `added_tokens_decoder`, or else added_tokens.json.
  std::vector<AddedToken> added;
  bool has_added_tokens_decoder = false;
  bool llama_class = false;  ///< tokenizer_class is LlamaTokenizer, with or without Fast
  bool legacy = false;
};

/// Reads a tokenizer_config.json. Throws Error(kCorruptFile).
TokenizerNames parse_tokenizer_config(std::string_view json, const std::string& where);
/// Adds the tokens that a special_tokens_map.json names: to be called before parse_added_tokens.
/// Throws Error(kCorruptFile).
void parse_special_tokens_map(std::string_view json, const std::string& where,
                              TokenizerNames& names);
/// Adds the tokens of an added_tokens.json ({"<pad>": 32000, ...}). Throws Error(kCorruptFile).
void parse_added_tokens(std::string_view json, const std::string& where, TokenizerNames& names);

}  // namespace airlock
