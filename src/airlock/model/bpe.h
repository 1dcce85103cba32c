// Byte-pair encoding of one pre-token: lowest-ranked merge first, leftmost among equals.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// GPT-2's printable alphabet: a code point for every byte. Source: Radford et al., encoder.py,
/// bytes_to_unicode.
const std::array<char32_t, 256>& byte_alphabet() noexcept;
/// The byte that `code_point` stands for, or -1.
int alphabet_byte(char32_t code_point) noexcept;

/// The merge rules of one vocabulary. Immutable: const methods may be called from several threads,
/// each with a scratch of its own.
class Bpe {
 public:
  /// What words are made of.
  enum class Units : std::uint8_t {
    kBytes,       ///< bytes; the vocabulary spells them in byte_alphabet
    kCharacters,  ///< UTF-8 characters, spelled as they are
  };

  /// Working memory of encode_word, kept between calls so that they do not allocate.
  struct Scratch {
    struct Pending {
      std::uint64_t order;  ///< rank, then position
      std::int32_t merged;
    };
    std::vector<std::int32_t> ids, next, previous;
    std::vector<Pending> heap;
    std::string spelled;
  };

  /// `spec` as parse_tokenizer_json checked it.
  Bpe(const BpeSpec& spec, Units units);

  /// Appends the ids of `word` (bytes, or valid UTF-8), which is shorter than 2^31 bytes.
  /// O(n log n) in the word's length.
  void encode_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& out) const;

  /// Words of at most so many symbols are merged by scanning: no heap to set up. Encodings are
  /// equal.
  static constexpr std::size_t kScanLimit = 32;

 private:
  struct Merge {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    std::int32_t merged = 0;
  };
  /// What a character or byte starts as.
  struct Start {
    std::vector<std::int32_t> ids;
    bool unknown = false;
    bool fallback = false;  ///< `ids` are byte tokens
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

  void insert_merge(const Merge& merge);
  [[nodiscard]] const Merge* find_merge(std::int32_t left, std::int32_t right) const noexcept;
  [[nodiscard]] Start start_of(std::string_view spelled) const;
  void start_word(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_by_scanning(std::vector<std::int32_t>& ids) const;
  void merge_by_heap(Scratch& scratch) const;
  void push_pair(Scratch& scratch, std::int32_t at) const;

  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<Merge> merges_;  ///< open addressing, a power of two, at most half full
  std::array<Start, 256> byte_starts_;
  std::optional<std::int32_t> unknown_;
  Units units_;
  bool fuse_unknown_;
  bool byte_fallback_;
  bool whole_words_;
};

}  // namespace airlock
