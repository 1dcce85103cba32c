#include "cli/number_checks.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <string>

#include <fmt/format.h>

namespace airlock {
namespace {

/// An option's bound, as CLI11's checks name it in the option's type.
enum class Bound { kNone, kNotNegative, kPositive };

Bound bound_of(const std::string& type) {
  if (type.find("NONNEGATIVE") != std::string::npos) return Bound::kNotNegative;
  return type.find("POSITIVE") != std::string::npos ? Bound::kPositive : Bound::kNone;
}

std::string check_signed(const std::string& word, Bound bound) {
  using Limits = std::numeric_limits<std::int64_t>;
  const std::int64_t least = bound == Bound::kNone       ? Limits::min()
                             : bound == Bound::kPositive ? 1
                                                         : 0;
  char* end = nullptr;
  errno = 0;
  const std::int64_t value = std::strtoll(word.c_str(), &end, 0);
  if (!word.empty() && *end == '\0' && errno == 0 && value >= least) return "";
  return fmt::format("expected a whole number in [{}, {}], found `{}`", least, Limits::max(), word);
}

std::string check_unsigned(const std::string& word, Bound bound) {
  const std::uint64_t least = bound == Bound::kPositive ? 1 : 0;
  char* end = nullptr;
  errno = 0;
  const std::uint64_t value = std::strtoull(word.c_str(), &end, 0);
  const bool sign = word.find('-') != std::string::npos;
  if (!word.empty() && !sign && *end == '\0' && errno == 0 && value >= least) return "";
  return fmt::format("expected a whole number in [{}, {}], found `{}`", least,
                     std::numeric_limits<std::uint64_t>::max(), word);
}

std::string check_float(const std::string& word, Bound bound) {
  if (bound == Bound::kNone) return "";
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  // NaN is left to the option, which knows its greatest value too.
  const bool below = bound == Bound::kPositive ? value <= 0 : value < 0;
  if (!word.empty() && *end == '\0' && !below) return "";
  return fmt::format("expected a number {}, found `{}`",
                     bound == Bound::kPositive ? "above 0" : "of 0 or more", word);
}

void check_options(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    const Bound bound = bound_of(type);
    // transform puts it in front; it changes nothing.
    const auto put = [&](std::string (*check)(const std::string&, Bound)) {
      option->transform(
          CLI::Validator([check, bound](std::string& word) { return check(word, bound); }, ""));
    };
    if (type.starts_with("INT")) put(check_signed);
    if (type.starts_with("UINT")) put(check_unsigned);
    if (type.starts_with("FLOAT")) put(check_float);
  }
}

}  // namespace

void check_numbers(CLI::App& app) {
  check_options(app);
  for (CLI::App* command : app.get_subcommands([](CLI::App* /*any*/) { return true; }))
    check_numbers(*command);
}

}  // namespace airlock
