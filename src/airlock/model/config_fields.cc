#include "airlock/model/config_fields.h"

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 32;

}  // namespace

Json parse_json_object(std::string_view text, std::string_view where) {
  const auto bound_depth = [&](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    require(depth <= kMaxDepth, ErrorCode::kCorruptFile, "{}: nested deeper than {} levels", where,
            kMaxDepth);
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), bound_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, "{}: is not valid JSON: {}", where, error.what());
  }
  require(json.is_object(), ErrorCode::kCorruptFile, "{}: is not a JSON object", where);
  return json;
}

const Json* ConfigFields::find(const char* name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<ConfigFields> ConfigFields::object(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) wrong(name, *value, "an object or null");
  return ConfigFields(*value, where_, prefix_ + name + ".");
}

std::optional<std::int64_t> ConfigFields::integer(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return to_integer(name, *value);
}

std::optional<double> ConfigFields::number(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong(name, *value, "a number");
  return value->get<double>();
}

std::optional<bool> ConfigFields::boolean(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong(name, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::string> ConfigFields::text(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong(name, *value, "a string");
  return value->get<std::string>();
}

std::optional<std::vector<std::int64_t>> ConfigFields::ids(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  std::vector<std::int64_t> list;
  if (value->is_array()) {
    for (const Json& item : *value) list.push_back(to_integer(name, item));
  } else {
    list.push_back(to_integer(name, *value));
  }
  return list;
}

std::vector<std::string> ConfigFields::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_->items()) {
    if (!value.is_null()) names.push_back(name);
  }
  return names;
}

void ConfigFields::unsupported(std::string_view name, std::string_view value,
                               std::string_view expected) const {
  fail(ErrorCode::kUnsupported, "{}: {}{} is {}, Airlock runs only {}", where_, prefix_,
       excerpt(name), excerpt(value), expected);
}

std::string ConfigFields::shown(const char* name) const {
  const Json* value = find(name);
  return value == nullptr ? "null"
                          : excerpt(value->dump(-1, ' ', true, Json::error_handler_t::replace));
}

void ConfigFields::missing(const char* name) const {
  fail(ErrorCode::kCorruptFile, "{}: has no {}{}", where_, prefix_, name);
}

void ConfigFields::wrong(const char* name, const Json& value, std::string_view expected) const {
  fail(ErrorCode::kCorruptFile, "{}: {}{} is of type {}, expected {}", where_, prefix_, name,
       value.type_name(), expected);
}

std::int64_t ConfigFields::to_integer(const char* name, const Json& value) const {
  if (!value.is_number_integer()) wrong(name, value, "a whole number");
  require(!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t{1} << 62,
          ErrorCode::kCorruptFile, "{}: {}{} is past 2^62", where_, prefix_, name);
  return value.get<std::int64_t>();
}

}  // namespace airlock
