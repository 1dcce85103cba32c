// The pre-tokenizer of a tokenizer.json: text to the words that BPE encodes one by one.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/model/pretokenizer_regex.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// Cuts text into words. Immutable: split may be called from several threads.
class PreTokenizer {
 public:
  /// The words of one text; views into the text or into `owned`.
  struct Words {
    std::vector<std::string_view> words;
    std::deque<std::string> owned;
    std::vector<std::string_view> scratch;
    std::vector<SplitRegex::Span> spans;
  };

  /// `where` is put into messages about a regex. Throws as SplitRegex does.
  PreTokenizer(const std::vector<PreTokenizerStep>& steps, const std::string& where);

  /// True if words are bytes to be spelled in byte_alphabet (there is a ByteLevel step).
  [[nodiscard]] bool byte_level() const noexcept { return byte_level_; }

  /// Replaces `words` by the words of `text` (valid UTF-8, must outlive them). `at_start`: the text
  /// is the very start of what is encoded, for Metaspace's prepend_scheme "first".
  void split(std::string_view text, bool at_start, Words& words) const;

 private:
  struct Step {
    PreTokenizerStep spec;
    std::vector<SplitRegex> regex;  ///< one or none
  };
  static void apply_split(const Step& step, Words& words);
  static void apply_byte_level(const Step& step, Words& words);
  static void apply_metaspace(const Step& step, bool at_start, Words& words);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace airlock
