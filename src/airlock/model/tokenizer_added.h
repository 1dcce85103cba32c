// Finds the added tokens ("<|eot_id|>") of a tokenizer.json in a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "airlock/model/pretokenizer_regex.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// A set of added tokens to look for. Immutable: split may be called from several threads.
class AddedTokens {
 public:
  /// A stretch of the text: an added token, or text between (`id` < 0).
  struct Piece {
    std::string_view text;
    std::int32_t id;
  };

  /// `tokens` are copied; `patterns[i]` is what to look for to find `tokens[i]`.
  AddedTokens(const std::vector<AddedToken>& tokens, const std::vector<std::string>& patterns);

  /// Replaces `pieces` by the pieces of `text` (valid UTF-8): the leftmost token counts, of several
  /// at one place the longest. Time is linear in the text, times the longest token at worst.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

 private:
  struct Node {
    std::int32_t token = -1;  ///< index into tokens_ of the one that ends here
    std::int32_t sibling = -1;
    std::int32_t child = -1;
    char byte = 0;
  };
  [[nodiscard]] std::int32_t child_of(std::int32_t node, char byte) const noexcept;
  /// The longest token at the front of `text`: its index and length; -1 if there is none.
  [[nodiscard]] std::pair<std::int32_t, std::size_t> match(std::string_view text) const noexcept;
  [[nodiscard]] bool is_single_word(std::string_view before, std::string_view after) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;  ///< a trie; nodes_[0] is the root
  std::array<bool, 256> starts_{};
};

}  // namespace airlock
