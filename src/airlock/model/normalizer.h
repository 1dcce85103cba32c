// The normalizer of a tokenizer.json: what is done to a text before it is cut into words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "airlock/model/pretokenizer_regex.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// `text` with `to` in place of each `from`, which must not be empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

/// Immutable: apply may be called from several threads.
class Normalizer {
 public:
  /// `where` is put into messages about a regex. Throws as SplitRegex does.
  Normalizer(const std::vector<NormalizerStep>& steps, const std::string& where);

  /// True if it changes nothing.
  [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }
  /// Applies all steps in order to a piece of text (valid UTF-8). Nothing is put before an empty
  /// text.
  [[nodiscard]] std::string apply(std::string_view text) const;

 private:
  struct Step {
    NormalizerStep spec;
    std::vector<SplitRegex> regex;  ///< one or none
  };
  std::vector<Step> steps_;
};

}  // namespace airlock
