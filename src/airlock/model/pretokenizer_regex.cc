#include "airlock/model/pretokenizer_regex.h"

#include <algorithm>
#include <array>
#include <limits>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"
#include "airlock/model/pretokenizer_unicode.h"

namespace airlock {
namespace {

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    require(is_utf8(in_), ErrorCode::kCorruptFile, "{}: not valid UTF-8", where_);
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        escape(false);
      } else if (c == '[') {
        character_class();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        repeat();
      } else if (c == '^' || c == '$') {
        // Oniguruma's are of lines, and no line begins behind a line break that ends the text.
        out_ += c == '^' ? "(?:\\A|(?<=\\n)(?!\\z))" : "(?=\\n|\\z)";
        ++at_;
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  void copy(std::size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  [[noreturn]] void refuse(std::size_t begin, std::size_t length) const {
    fail(ErrorCode::kUnsupported, "{}: `{}` at offset {} of the regex is not supported", where_,
         replace_ill_formed(in_.substr(begin, length)), begin);
  }

  /// A class by what it holds, as a class of its own or as part of the one around it.
  void put_class(const std::string& content, bool negated, bool inside, std::size_t begin) {
    // A complement cannot be one member among others in PCRE2's syntax.
    if (inside && negated) refuse(begin, at_ - begin);
    out_ += inside ? content : (negated ? "[^" : "[") + content + "]";
  }

  void category(std::string_view name, bool negated, bool inside, std::size_t begin) {
    const auto later = characters_since_unicode_14(name);
    if (!later) refuse(begin, at_ - begin);
    put_class("\\p{" + std::string(name) + "}" + std::string(*later), negated, inside, begin);
  }

  void escape(bool inside) {
    constexpr std::string_view kSame = "rntf\\.[](){}*+?|^$/-'\"&~# ";
    const std::size_t begin = at_;
    if (at_ + 1 >= in_.size()) refuse(begin, 1);
    const char c = in_[at_ + 1];
    if (kSame.find(c) != std::string_view::npos) {
      copy(2);
    } else if (c == 's' || c == 'S') {
      at_ += 2;
      put_class(kWhiteSpaceClass, c == 'S', inside, begin);
    } else if (c == 'd' || c == 'D') {
      at_ += 2;
      category("Nd", c == 'D', inside, begin);
    } else if (c == 'p' || c == 'P') {
      const std::size_t close = in_.find('}', at_);
      if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || close == std::string_view::npos)
        refuse(begin, 3);
      std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
      bool negated = c == 'P';
      if (name.starts_with('^')) name.remove_prefix(1), negated = !negated;
      at_ = close + 1;
      category(name, negated, inside, begin);
    } else if (c == 'x' && at_ + 2 < in_.size() && in_[at_ + 2] == '{') {
      const std::size_t close = in_.find('}', at_);
      if (close == std::string_view::npos) refuse(begin, 3);
      copy(close + 1 - at_);
    } else if (c == 'u' && at_ + 6 <= in_.size()) {
      out_ += "\\x{" + std::string(in_.substr(at_ + 2, 4)) + "}";
      at_ += 6;
    } else {
      refuse(begin, 2);
    }
  }

  void character_class() {
    copy(1);
    if (at_ < in_.size() && in_[at_] == '^') copy(1);
    if (at_ < in_.size() && in_[at_] == ']') refuse(at_, 1);
    while (at_ < in_.size() && in_[at_] != ']') {
      if (in_[at_] == '\\') {
        escape(true);
      } else if (in_[at_] == '[' || in_.substr(at_, 2) == "&&") {
        refuse(at_, in_[at_] == '[' ? 1 : 2);
      } else {
        copy(1);
      }
    }
    if (at_ < in_.size()) copy(1);
  }

  void group() {
    constexpr std::array<std::string_view, 10> kOpeners = {"(?:", "(?=",  "(?!",   "(?<=", "(?<!",
                                                           "(?>", "(?i:", "(?-i:", "(?i)", "(?-i)"};
    if (in_.substr(at_, 2) != "(?" && in_.substr(at_, 2) != "(*") return copy(1);
    for (const std::string_view opener : kOpeners)
      if (in_.substr(at_, opener.size()) == opener) return copy(opener.size());
    refuse(at_, 4);
  }

  void repeat() {
    const std::size_t close = in_.find('}', at_);
    const std::string_view bounds =
        close == std::string_view::npos ? "" : in_.substr(at_ + 1, close - at_ - 1);
    const bool plain = !bounds.empty() && bounds.front() != ',' &&
                       bounds.find_first_not_of("0123456789,") == std::string_view::npos;
    // Oniguruma repeats {n,m}+ where PCRE2 makes it possessive.
    if (!plain || in_.substr(close + 1, 1) == "+") refuse(at_, bounds.size() + 3);
    copy(close + 1 - at_);
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
};

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Code = std::unique_ptr<pcre2_code, Freed<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>>;

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}
}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

struct SplitRegex::Compiled {
  Code code;
  std::string where;
};

SplitRegex::SplitRegex(std::string_view pattern, const std::string& where) {
  const std::string translated = translate_regex(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // PCRE2_NEVER_BACKSLASH_C: it could cut characters in two.
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                          nullptr));
  require(code != nullptr, ErrorCode::kCorruptFile, "{}: not a valid regex: {}", where,
          pcre_message(error));
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT it is interpreted
  compiled_ = std::make_shared<Compiled>(Compiled{std::move(code), where});
}

SplitRegex::~SplitRegex() = default;
SplitRegex::SplitRegex(SplitRegex&&) noexcept = default;
SplitRegex& SplitRegex::operator=(SplitRegex&&) noexcept = default;

SplitRegex SplitRegex::literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\.[](){}*+?|^$").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return {pattern, "a literal"};
}

void SplitRegex::find(std::string_view text, std::vector<Span>& spans) const {
  spans.clear();
  const pcre2_code* code = compiled_->code.get();
  const MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
  const MatchContext context(pcre2_match_context_create(nullptr));
  require(data && context, ErrorCode::kResourceExhausted, "out of memory");
  // A pattern without nested repeats takes a small multiple of the text's length a match.
  constexpr std::uint64_t kLeastLimit = 10'000'000;
  pcre2_set_match_limit(context.get(), static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                           std::max<std::uint64_t>(kLeastLimit, 64 * text.size()),
                                           std::numeric_limits<std::uint32_t>::max())));
  constexpr std::uint32_t kHeapKiB = 1U << 20U;
  pcre2_set_heap_limit(context.get(), kHeapKiB);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  std::size_t last = std::string_view::npos;  // where the last match ended
  while (at <= text.size() && !text.empty()) {
    // The text was checked once; checking the rest of it at every match would be quadratic.
    constexpr std::uint32_t kOptions = PCRE2_NO_UTF_CHECK;
    int result = pcre2_match(code, subject, text.size(), at, kOptions, data.get(), context.get());
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
      result = pcre2_match(code, subject, text.size(), at, kOptions | PCRE2_NO_JIT, data.get(),
                           context.get());
    if (result == PCRE2_ERROR_NOMATCH) return;
    require(result > 0, ErrorCode::kResourceExhausted,
            "{}: the regex gave up at byte {} of a text of {} bytes: {}", compiled_->where, at,
            text.size(), pcre_message(result));
    if (ends[1] == ends[0] && ends[1] == last) {
      at += at < text.size() ? utf8_step(text.substr(at)).length : 1;
    } else {
      spans.push_back({ends[0], ends[1]});
      at = last = ends[1];
    }
  }
}

}  // namespace airlock
