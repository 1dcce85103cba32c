// The one error type of Airlock and the one list of what can go wrong.
// A message says what was wrong, where, what was expected and, if known, what to do.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace airlock {

/// Why an operation failed. The values travel on the wire: append only, never renumber.
enum class ErrorCode : unsigned char {
  kInternal = 0,            ///< a defect in Airlock itself
  kInvalidArgument = 1,     ///< the caller (or a flag) asked for something impossible
  kNotFound = 2,            ///< a file, tensor, token or plan that does not exist
  kIo = 3,                  ///< the operating system refused a file operation
  kCorruptFile = 4,         ///< a file whose content contradicts its format or its configuration
  kUnsupported = 5,         ///< valid, but not something Airlock can run
  kModelMismatch = 6,       ///< runner and worker hold different models
  kProtocol = 7,            ///< a peer broke the protocol: frame, message, shape, length or order
  kConnectionRefused = 8,   ///< nobody listens there, or the listener would not take us
  kConnectionLost = 9,      ///< the peer closed or died in mid-conversation
  kTimeout = 10,            ///< the peer made no progress within the time allowed
  kAddressInUse = 11,       ///< another process listens on that address
  kResourceExhausted = 12,  ///< a configured limit (sessions, bytes, context) would be exceeded
  kSessionLost = 13,        ///< the worker no longer holds the state (KV cache) the call relies on
  kInterrupted = 14,        ///< a StopToken stopped it: for a signal, or for its caller
  kCheckFailed = 15,        ///< a product, a hint or a pad is not what it must be: someone lied
};

/// The code's name in snake_case, e.g. "corrupt_file"; "unknown" for a value out of range.
std::string_view error_code_name(ErrorCode code) noexcept;

/// True if `value` is one of ErrorCode's values (to check a byte that a peer sent).
bool is_error_code(unsigned value) noexcept;

/// Every exception Airlock throws on purpose. Immutable, safe to copy between threads.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error(code, formatted message): `fail(ErrorCode::kNotFound, "{}: no such file", path)`.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Throws as `fail` does unless `ok`. For conditions a user's or a peer's input can break.
template <typename... Args>
void require(bool ok, ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(code, format, std::forward<Args>(args)...);
}

/// The same for a call of the system: errno's text ends the message. Reads errno when all arguments
/// are there: among them, std::strerror(errno) would be evaluated before the call, or after it.
template <typename... Args>
void require_system(bool ok, ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  if (ok) [[likely]]
    return;
  const int number = errno;
  fail(code, "{}: {}", fmt::format(format, std::forward<Args>(args)...),
       std::generic_category().message(number));
}

/// " (did you mean `flash`?)" for the candidate nearest to `word` by edit distance, or "" if none
/// is near. For error messages about unknown names.
template <typename Range>
std::string suggest(std::string_view word, const Range& candidates);

namespace detail {
std::size_t edit_distance(std::string_view a, std::string_view b);
}

template <typename Range>
std::string suggest(std::string_view word, const Range& candidates) {
  std::string best;
  std::size_t best_distance = word.size() / 2 + 1;
  for (const auto& candidate : candidates) {
    const std::size_t distance = detail::edit_distance(word, candidate);
    if (distance < best_distance) best_distance = distance, best = std::string(candidate);
  }
  return best.empty() ? "" : " (did you mean `" + best + "`?)";
}

}  // namespace airlock
