// The regular expressions of tokenizer.json files, which are written for Oniguruma, run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace airlock {

/// `pattern` in PCRE2's words: `\s`, `\d`, `\p{..}`, `^` and `$` mean what they mean in Oniguruma
/// with Unicode 16 and Ruby's syntax, and everything else means the same in both. Throws
/// Error(kUnsupported), naming it, for anything the two read differently or no pre-tokenizer of a
/// Llama uses.
std::string translate_regex(std::string_view pattern, const std::string& where);

/// A compiled regex. Immutable: find may be called from several threads.
class SplitRegex {
 public:
  struct Span {
    std::size_t begin;
    std::size_t end;
  };

  /// Throws Error(kUnsupported) as translate_regex, and Error(kCorruptFile) for a malformed
  /// pattern.
  SplitRegex(std::string_view pattern, const std::string& where);
  /// The regex that matches exactly `text`.
  static SplitRegex literal(std::string_view text);
  ~SplitRegex();
  SplitRegex(SplitRegex&&) noexcept;
  SplitRegex& operator=(SplitRegex&&) noexcept;

  /// Puts the matches of `text` (valid UTF-8) into `spans`, in order, none overlapping; empty ones
  /// too, but none where the match before it ended. An empty text has none.
  /// Throws Error(kResourceExhausted) for a pattern that backtracks without bound on this text; no
  /// pattern of a published Llama does.
  void find(std::string_view text, std::vector<Span>& spans) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace airlock
