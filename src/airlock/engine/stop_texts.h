// Finds where a text that comes in pieces must stop, and holds back what could still become a stop
// text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace airlock {

/// Where it stops does not depend on how the text is cut into pieces: at the stop text that is
/// complete first; of several that are complete at once, before the longest. Not thread-safe.
class StopTexts {
 public:
  /// None: nothing stops. Throws Error(kInvalidArgument) for a text that is empty or not UTF-8.
  explicit StopTexts(const std::vector<std::string>& texts);

  /// Takes more text and appends to `out` what is certain to come before any stop. True if a stop
  /// text is complete: `out` then ends before it, what came behind it is dropped, and this is as
  /// new.
  bool push(std::string_view text, std::string& out);
  /// The text has ended: appends what was held back. Afterwards this is as new.
  void flush(std::string& out);

 private:
  /// A text, found as Knuth, Morris and Pratt do.
  struct Stop {
    std::string text;
    /// For each prefix of the text, the length of the longest shorter prefix that ends it too.
    std::vector<std::size_t> border;
    std::size_t matched = 0;  ///< bytes at the end of what was pushed that begin this text
  };
  static void advance(Stop& stop, char next);
  void restart();

  std::vector<Stop> stops_;
  std::string held_;
};

}  // namespace airlock
