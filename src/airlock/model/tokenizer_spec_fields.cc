#include "airlock/model/tokenizer_spec_fields.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock::tokenizer_fields {

namespace {
/// How deep the brackets of a JSON text nest. A scan: a parser callback would triple the time.
int depth_of(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}
}  // namespace

Json parse_object(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 64;
  require(depth_of(text) <= kMaxDepth, ErrorCode::kCorruptFile, "{}: nested deeper than {} levels",
          where, kMaxDepth);
  Json json;
  try {
    json = Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, "{}: not valid JSON: {}", where, error.what());
  }
  require(json.is_object(), ErrorCode::kCorruptFile, "{}: expected a JSON object, found {}", where,
          json.type_name());
  return json;
}

std::optional<Node> member(const Node& node, const std::string& key) {
  require(node.json->is_object(), ErrorCode::kCorruptFile, "{}: expected an object, found {}",
          node.where, node.json->type_name());
  const auto found = node.json->find(key);
  if (found == node.json->end() || found->is_null()) return std::nullopt;
  return Node{&*found, node.where + (node.where.ends_with(": ") ? "" : ".") + key};
}

Node required(const Node& node, const std::string& key) {
  std::optional<Node> found = member(node, key);
  require(found.has_value(), ErrorCode::kCorruptFile, "{}: has no `{}`", node.where, key);
  return *std::move(found);
}

Node element(const Node& node, std::size_t i) {
  return {&(*node.json)[i], fmt::format("{}[{}]", node.where, i)};
}

std::size_t array_size(const Node& node) {
  require(node.json->is_array(), ErrorCode::kCorruptFile, "{}: expected an array, found {}",
          node.where, node.json->type_name());
  return node.json->size();
}

const std::string& text(const Node& node) {
  require(node.json->is_string(), ErrorCode::kCorruptFile, "{}: expected a string, found {}",
          node.where, node.json->type_name());
  return node.json->get_ref<const std::string&>();
}

bool flag(const Node& node, const std::string& key, bool otherwise) {
  const std::optional<Node> found = member(node, key);
  if (!found) return otherwise;
  require(found->json->is_boolean(), ErrorCode::kCorruptFile,
          "{}: expected true or false, found {}", found->where, found->json->type_name());
  return found->json->get<bool>();
}

std::int32_t id(const Node& node) {
  const bool ok = node.json->is_number_unsigned() &&
                  node.json->get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxTokenId);
  require(ok, ErrorCode::kCorruptFile, "{}: expected a token id in [0, {}], found {}", node.where,
          kMaxTokenId, node.json->is_number() ? node.json->dump() : node.json->type_name());
  return node.json->get<std::int32_t>();
}

std::string type_of(const Node& node) {
  const std::optional<Node> found = member(node, "type");
  return found ? text(*found) : "";
}

}  // namespace airlock::tokenizer_fields
