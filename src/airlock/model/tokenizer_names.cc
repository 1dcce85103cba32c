// What tokenizer_config.json and the older files beside it say of tokens.
#include <algorithm>
#include <array>
#include <charconv>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_spec.h"
#include "airlock/model/tokenizer_spec_fields.h"
#include "airlock/model/tokenizer_spec_parts.h"

namespace airlock {
namespace {
using namespace tokenizer_fields;

/// A token's text, which stands alone or as `content` of an object.
const std::string& name_of(const Node& node) {
  return text(node.json->is_object() ? required(node, "content") : node);
}

std::optional<std::string> name(const Node& root, const std::string& key) {
  const auto found = member(root, key);
  return found ? std::optional(name_of(*found)) : std::nullopt;
}

std::optional<bool> choice(const Node& root, const std::string& key) {
  if (!member(root, key)) return std::nullopt;
  return flag(root, key, false);
}

void add_special_names(const Node& root, TokenizerNames& names) {
  constexpr std::array<const char*, 7> kSingle = {
      "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"};
  for (const char* key : kSingle)
    if (auto found = name(root, key)) names.special.push_back(*std::move(found));
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto list = member(root, key);
    if (!list || !list->json->is_array()) continue;
    for (std::size_t i = 0; i < array_size(*list); ++i)
      names.special.push_back(name_of(element(*list, i)));
  }
}

std::int32_t id_of_key(const std::string& key, const Node& table) {
  std::int32_t value = -1;
  const char* const end = key.data() + key.size();
  const auto [rest, error] = std::from_chars(key.data(), end, value);
  require(error == std::errc() && rest == end && value >= 0 && value <= kMaxTokenId,
          ErrorCode::kCorruptFile, "{}: expected a token id in [0, {}], found `{}`", table.where,
          kMaxTokenId, key);
  return value;
}

void sort_by_id(std::vector<AddedToken>& tokens) {
  std::sort(tokens.begin(), tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}
}  // namespace

TokenizerNames parse_tokenizer_config(std::string_view json, const std::string& where) {
  const Json document = parse_object(json, where);
  const Node root{&document, where + ": "};
  TokenizerNames names;
  names.bos = name(root, "bos_token");
  names.eos = name(root, "eos_token");
  names.add_bos = choice(root, "add_bos_token");
  names.add_eos = choice(root, "add_eos_token");
  names.legacy = choice(root, "legacy").value_or(false);
  const auto tokenizer_class = name(root, "tokenizer_class");
  names.llama_class =
      tokenizer_class == "LlamaTokenizer" || tokenizer_class == "LlamaTokenizerFast";
  add_special_names(root, names);
  if (const auto table = member(root, "added_tokens_decoder")) {
    require(table->json->is_object(), ErrorCode::kCorruptFile, "{}: expected an object, found {}",
            table->where, table->json->type_name());
    names.has_added_tokens_decoder = true;
    for (const auto& [key, value] : table->json->items())
      names.added.push_back(
          parse_added_token({&value, table->where + "." + key}, id_of_key(key, *table)));
    sort_by_id(names.added);
  }
  return names;
}

void parse_special_tokens_map(std::string_view json, const std::string& where,
                              TokenizerNames& names) {
  const Json document = parse_object(json, where);
  const Node root{&document, where + ": "};
  if (auto bos = name(root, "bos_token"); bos && !names.bos) names.bos = std::move(bos);
  if (auto eos = name(root, "eos_token"); eos && !names.eos) names.eos = std::move(eos);
  add_special_names(root, names);
}

void parse_added_tokens(std::string_view json, const std::string& where, TokenizerNames& names) {
  const Json document = parse_object(json, where);
  for (const auto& [content, value] : document.items()) {
    AddedToken token;
    token.content = content;
    token.id = id({&value, where + ": " + content});
    require(!content.empty(), ErrorCode::kCorruptFile, "{}: a token has no text", where);
    token.special =
        std::find(names.special.begin(), names.special.end(), content) != names.special.end();
    token.normalized = !token.special;
    names.added.push_back(std::move(token));
  }
  sort_by_id(names.added);
}

}  // namespace airlock
