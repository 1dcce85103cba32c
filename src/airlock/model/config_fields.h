// The fields of a checkpoint's JSON, each asked for by name and type, errors naming file and field.
// Inside the model room only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace airlock {

/// The object in `text`. Throws Error(kCorruptFile), naming `where`, for what is not a JSON object
/// or is nested deeper than any configuration.
[[nodiscard]] nlohmann::json parse_json_object(std::string_view text, std::string_view where);

/// Fields of one JSON object, which must outlive it; null counts as absent. What is of another type
/// than is asked for is Error(kCorruptFile). Immutable.
class ConfigFields {
 public:
  ConfigFields(const nlohmann::json& object, std::string_view where, std::string prefix = "")
      : object_(&object), where_(where), prefix_(std::move(prefix)) {}

  [[nodiscard]] const nlohmann::json* find(const char* name) const;
  [[nodiscard]] std::optional<ConfigFields> object(const char* name) const;
  [[nodiscard]] std::optional<std::int64_t> integer(const char* name) const;
  [[nodiscard]] std::optional<double> number(const char* name) const;
  [[nodiscard]] std::optional<bool> boolean(const char* name) const;
  [[nodiscard]] std::optional<std::string> text(const char* name) const;
  /// A number or a list of numbers.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> ids(const char* name) const;
  /// Names of all fields that are not null.
  [[nodiscard]] std::vector<std::string> names() const;

  /// `value`, or Error(kCorruptFile) saying that `name` is missing.
  template <typename T>
  [[nodiscard]] T need(const char* name, std::optional<T> value) const {
    if (!value) missing(name);
    return *std::move(value);
  }
  /// Throws Error(kUnsupported): the field is so, and Airlock runs only what is `expected`.
  [[noreturn]] void unsupported(std::string_view name, std::string_view value,
                                std::string_view expected) const;
  /// The field's value as a message shows it: JSON, short.
  [[nodiscard]] std::string shown(const char* name) const;

 private:
  [[noreturn]] void missing(const char* name) const;
  [[noreturn]] void wrong(const char* name, const nlohmann::json& value,
                          std::string_view expected) const;
  [[nodiscard]] std::int64_t to_integer(const char* name, const nlohmann::json& value) const;

  const nlohmann::json* object_;
  std::string_view where_;
  std::string prefix_;
};

}  // namespace airlock
