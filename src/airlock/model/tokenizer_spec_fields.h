// Checked access to the fields of a tokenizer.json; messages name the file and the path within it.
// Internal to model/: it shows nlohmann::json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace airlock::tokenizer_fields {

using Json = nlohmann::json;

/// A JSON value and where it was found, for messages: "tokenizer.json: pre_tokenizer[0].pattern".
struct Node {
  const Json* json;
  std::string where;
};

/// The document. Throws Error(kCorruptFile) if it isn't a JSON object, or nests past 64 levels.
Json parse_object(std::string_view text, const std::string& where);

/// The member `key`; nothing if it is absent or null. Throws if `node` is not an object.
std::optional<Node> member(const Node& node, const std::string& key);
/// As member, but throws Error(kCorruptFile) if there is none.
Node required(const Node& node, const std::string& key);
/// Element `i` of an array.
Node element(const Node& node, std::size_t i);
/// The number of elements. Throws if `node` is not an array.
std::size_t array_size(const Node& node);

const std::string& text(const Node& node);
bool flag(const Node& node, const std::string& key, bool otherwise);
/// A token id in [0, kMaxTokenId].
std::int32_t id(const Node& node);
/// The member "type". "" if there is none.
std::string type_of(const Node& node);

}  // namespace airlock::tokenizer_fields
