#include "airlock/model/tokenizer_spec.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_spec_fields.h"
#include "airlock/model/tokenizer_spec_parts.h"

namespace airlock {
namespace {
using namespace tokenizer_fields;

std::string in_quotes(const std::string& text) {
  constexpr std::size_t kShown = 60;
  return text.size() <= kShown ? "`" + text + "`" : "`" + text.substr(0, kShown) + "...`";
}

void refuse_affix(const Node& model, const std::string& key) {
  const std::optional<Node> found = member(model, key);
  require(!found || text(*found).empty(), ErrorCode::kUnsupported, "{}.{}: not supported",
          model.where, key);
}

void parse_vocab(const Node& vocab, BpeSpec& bpe) {
  require(vocab.json->is_object(), ErrorCode::kCorruptFile, "{}: expected an object, found {}",
          vocab.where, vocab.json->type_name());
  require(!vocab.json->empty(), ErrorCode::kCorruptFile, "{}: is empty", vocab.where);
  std::unordered_map<std::int32_t, const std::string*> by_id;
  bpe.vocab.reserve(vocab.json->size());
  for (auto entry = vocab.json->begin(); entry != vocab.json->end(); ++entry) {
    // The path is only spelled out for what fails: 128000 of them would cost more than the parse.
    const bool plain =
        entry->is_number_unsigned() && entry->get<std::uint64_t>() <= std::uint64_t{kMaxTokenId};
    const std::int32_t token_id = plain ? entry->get<std::int32_t>()
                                        : id({&*entry, vocab.where + "." + in_quotes(entry.key())});
    const auto [other, fresh] = by_id.emplace(token_id, &entry.key());
    if (!fresh)
      fail(ErrorCode::kCorruptFile, "{}: tokens {} and {} share the id {}", vocab.where,
           in_quotes(*other->second), in_quotes(entry.key()), token_id);
    bpe.vocab.emplace_back(entry.key(), token_id);
  }
}

std::pair<std::string, std::string> parse_merge(const Node& merge) {
  if (merge.json->is_array()) {
    require(merge.json->size() == 2, ErrorCode::kCorruptFile, "{}: expected 2 tokens, found {}",
            merge.where, merge.json->size());
    return {text(element(merge, 0)), text(element(merge, 1))};
  }
  const std::string& line = text(merge);
  const std::size_t space = line.find(' ');
  require(space != std::string::npos && line.find(' ', space + 1) == std::string::npos,
          ErrorCode::kCorruptFile, "{}: expected two tokens with one space between, found {}",
          merge.where, in_quotes(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

void parse_merges(const Node& merges, BpeSpec& bpe) {
  std::unordered_set<std::string_view> known;
  for (const auto& [token, token_id] : bpe.vocab) known.insert(token);
  const std::size_t count = array_size(merges);
  bpe.merges.reserve(count);
  std::string joined;
  const std::string* const joined_view = &joined;
  for (std::size_t i = 0; i < count; ++i) {
    const Json& json = (*merges.json)[i];
    if (i == 0 && json.is_string() && json.get_ref<const std::string&>().starts_with("#version"))
      continue;
    const bool plain =
        json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string();
    bpe.merges.push_back(plain ? std::pair(json[0].get<std::string>(), json[1].get<std::string>())
                               : parse_merge(element(merges, i)));
    const auto& [left, right] = bpe.merges.back();
    joined.assign(left).append(right);
    for (const std::string* token : {&left, &right, joined_view})
      if (!known.contains(*token))
        fail(ErrorCode::kCorruptFile,
             "{}[{}]: {} + {} needs the token {}, which is not in the vocabulary", merges.where, i,
             in_quotes(left), in_quotes(right), in_quotes(*token));
  }
}

BpeSpec parse_bpe(const Node& model) {
  const std::string type = type_of(model);
  require(type.empty() || type == "BPE", ErrorCode::kUnsupported,
          "{}: a {} model; only BPE is supported", model.where, in_quotes(type));
  refuse_affix(model, "continuing_subword_prefix");
  refuse_affix(model, "end_of_word_suffix");
  if (const auto dropout = member(model, "dropout"))
    require(dropout->json->is_number() && dropout->json->get<double>() == 0.0,
            ErrorCode::kUnsupported, "{}: ids would differ from run to run", dropout->where);
  BpeSpec bpe;
  parse_vocab(required(model, "vocab"), bpe);
  parse_merges(required(model, "merges"), bpe);
  bpe.fuse_unk = flag(model, "fuse_unk", false);
  bpe.byte_fallback = flag(model, "byte_fallback", false);
  bpe.ignore_merges = flag(model, "ignore_merges", false);
  if (const auto unk = member(model, "unk_token")) {
    bpe.unk_token = text(*unk);
    const bool found = std::any_of(bpe.vocab.begin(), bpe.vocab.end(), [&](const auto& entry) {
      return entry.first == *bpe.unk_token;
    });
    require(found, ErrorCode::kCorruptFile, "{}: {} is not in the vocabulary", unk->where,
            in_quotes(*bpe.unk_token));
  }
  return bpe;
}

void parse_added(const Node& added, TokenizerSpec& spec) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::unordered_map<std::int32_t, std::string_view> texts;
  for (const auto& [token, token_id] : spec.bpe.vocab)
    ids.emplace(token, token_id), texts.emplace(token_id, token);
  const std::size_t count = array_size(added);
  spec.added.reserve(count);  // keeps the views into it valid
  for (std::size_t i = 0; i < count; ++i) {
    const Node node = element(added, i);
    AddedToken token;
    token.content = text(required(node, "content"));
    token.id = id(required(node, "id"));
    token.special = flag(node, "special", false);
    token.single_word = flag(node, "single_word", false);
    token.lstrip = flag(node, "lstrip", false);
    token.rstrip = flag(node, "rstrip", false);
    token.normalized = flag(node, "normalized", !token.special);
    require(!token.content.empty(), ErrorCode::kCorruptFile, "{}: has no text", node.where);
    const auto by_text = ids.find(token.content);
    require(by_text == ids.end() || by_text->second == token.id, ErrorCode::kCorruptFile,
            "{}: {} has the id {} here and {} elsewhere", node.where, in_quotes(token.content),
            token.id, by_text == ids.end() ? 0 : by_text->second);
    const auto by_id = texts.find(token.id);
    require(by_id == texts.end() || by_id->second == token.content, ErrorCode::kCorruptFile,
            "{}: {} has the id {}, which is the id of {} too", node.where, in_quotes(token.content),
            token.id, by_id == texts.end() ? "" : in_quotes(std::string(by_id->second)));
    spec.added.push_back(std::move(token));
    ids.emplace(spec.added.back().content, spec.added.back().id);
    texts.emplace(spec.added.back().id, spec.added.back().content);
  }
}
}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where) {
  const Json document = parse_object(json, where);
  const Node root{&document, where + ": "};
  TokenizerSpec spec;
  spec.bpe = parse_bpe(required(root, "model"));
  if (const auto added = member(root, "added_tokens")) parse_added(*added, spec);
  if (const auto node = member(root, "normalizer")) parse_normalizer(*node, spec.normalizer);
  if (const auto node = member(root, "pre_tokenizer"))
    parse_pre_tokenizer(*node, spec.pre_tokenizer);
  if (const auto node = member(root, "post_processor")) parse_post_processor(*node, spec);
  spec.decoder = parse_decoder(required(root, "decoder"));
  return spec;
}

TokenizerNames parse_tokenizer_config(std::string_view json, const std::string& where) {
  const Json document = parse_object(json, where);
  const Node root{&document, where + ": "};
  const auto name = [&root](const std::string& key) -> std::optional<std::string> {
    const auto found = member(root, key);
    if (!found) return std::nullopt;
    return text(found->json->is_object() ? required(*found, "content") : *found);
  };
  const auto choice = [&root](const std::string& key) -> std::optional<bool> {
    if (!member(root, key)) return std::nullopt;
    return flag(root, key, false);
  };
  return {name("bos_token"), name("eos_token"), choice("add_bos_token"), choice("add_eos_token")};
}

}  // namespace airlock
