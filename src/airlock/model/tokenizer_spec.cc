#include "airlock/model/tokenizer_spec.h"

#include <algorithm>
#include <unordered_map>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_spec_fields.h"
#include "airlock/model/tokenizer_spec_parts.h"

namespace airlock {
namespace {
using namespace tokenizer_fields;

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kShown = 60;
  return fmt::format("`{}{}`", text.substr(0, kShown), text.size() > kShown ? "..." : "");
}

void refuse_affix(const Node& model, const std::string& key) {
  const std::optional<Node> found = member(model, key);
  require(!found || text(*found).empty(), ErrorCode::kUnsupported, "{}.{}: not supported",
          model.where, key);
}

/// Tokens by text and by id; the texts live in the spec.
struct Index {
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::vector<const std::string*> texts;

  /// False if `token_id` is taken.
  bool add(const std::string& token, std::int32_t token_id) {
    const auto at = static_cast<std::size_t>(token_id);
    if (at >= texts.size()) texts.resize(std::max(at + 1, 2 * texts.size()));
    if (texts[at] != nullptr) return false;
    texts[at] = &token;
    ids.emplace(token, token_id);
    return true;
  }
  [[nodiscard]] const std::string* text_of(std::int32_t token_id) const {
    const auto at = static_cast<std::size_t>(token_id);
    return at < texts.size() ? texts[at] : nullptr;
  }
};

void parse_vocab(const Node& vocab, BpeSpec& bpe, Index& index) {
  require(vocab.json->is_object(), ErrorCode::kCorruptFile, "{}: expected an object, found {}",
          vocab.where, vocab.json->type_name());
  require(!vocab.json->empty(), ErrorCode::kCorruptFile, "{}: is empty", vocab.where);
  bpe.vocab.reserve(vocab.json->size());  // keeps the index's views valid
  index.ids.reserve(vocab.json->size());
  for (auto entry = vocab.json->begin(); entry != vocab.json->end(); ++entry) {
    // The path is only spelled out for what fails: 128000 of them would cost more than the parse.
    const bool plain =
        entry->is_number_unsigned() && entry->get<std::uint64_t>() <= std::uint64_t{kMaxTokenId};
    const std::int32_t token_id = plain ? entry->get<std::int32_t>()
                                        : id({&*entry, vocab.where + "." + in_quotes(entry.key())});
    bpe.vocab.emplace_back(entry.key(), token_id);
    if (!index.add(bpe.vocab.back().first, token_id))
      fail(ErrorCode::kCorruptFile, "{}: tokens {} and {} share the id {}", vocab.where,
           in_quotes(*index.text_of(token_id)), in_quotes(entry.key()), token_id);
  }
}

using Parts = std::pair<std::string_view, std::string_view>;

/// The two tokens of merge `i`: ["a", "b"], or "a b" as older files have it.
Parts merge_parts(const Node& merges, std::size_t i) {
  const Json& json = (*merges.json)[i];
  // Its path is spelled out only where something is wrong.
  if (json.is_array()) {
    if (json.size() != 2)
      fail(ErrorCode::kCorruptFile, "{}[{}]: expected 2 tokens, found {}", merges.where, i,
           json.size());
    if (!json[0].is_string()) text(element(element(merges, i), 0));
    if (!json[1].is_string()) text(element(element(merges, i), 1));
    return {json[0].get_ref<const std::string&>(), json[1].get_ref<const std::string&>()};
  }
  const std::string_view line =
      json.is_string() ? json.get_ref<const std::string&>() : text(element(merges, i));
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
    fail(ErrorCode::kCorruptFile, "{}[{}]: expected two tokens with one space between, found {}",
         merges.where, i, in_quotes(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

void parse_merges(const Node& merges, BpeSpec& bpe, const Index& index) {
  const std::size_t count = array_size(merges);
  bpe.merges.reserve(count);
  std::string joined;
  for (std::size_t i = 0; i < count; ++i) {
    const Json& json = (*merges.json)[i];
    if (i == 0 && json.is_string() && json.get_ref<const std::string&>().starts_with("#version"))
      continue;
    const auto [left, right] = merge_parts(merges, i);
    joined.assign(left).append(right);
    const auto find = [&, l = left, r = right](std::string_view token) {
      const auto found = index.ids.find(token);
      if (found == index.ids.end())
        fail(ErrorCode::kCorruptFile,
             "{}[{}]: {} + {} needs the token {}, which is not in the vocabulary", merges.where, i,
             in_quotes(l), in_quotes(r), in_quotes(token));
      return found->second;
    };
    const std::int32_t left_id = find(left);
    const std::int32_t right_id = find(right);
    bpe.merges.push_back({left_id, right_id, find(joined)});
  }
}

BpeSpec parse_bpe(const Node& model, Index& index) {
  const std::string type = type_of(model);
  require(type.empty() || type == "BPE", ErrorCode::kUnsupported,
          "{}: a {} model; only BPE is supported", model.where, in_quotes(type));
  refuse_affix(model, "continuing_subword_prefix");
  refuse_affix(model, "end_of_word_suffix");
  if (const auto dropout = member(model, "dropout"))
    require(dropout->json->is_number() && dropout->json->get<double>() == 0.0,
            ErrorCode::kUnsupported, "{}: ids would differ from run to run", dropout->where);
  BpeSpec bpe;
  parse_vocab(required(model, "vocab"), bpe, index);
  parse_merges(required(model, "merges"), bpe, index);
  bpe.fuse_unk = flag(model, "fuse_unk", false);
  bpe.byte_fallback = flag(model, "byte_fallback", false);
  bpe.ignore_merges = flag(model, "ignore_merges", false);
  if (const auto unk = member(model, "unk_token")) {
    bpe.unk_token = text(*unk);
    require(index.ids.contains(*bpe.unk_token), ErrorCode::kCorruptFile,
            "{}: {} is not in the vocabulary", unk->where, in_quotes(*bpe.unk_token));
  }
  return bpe;
}

/// The pieces of a Unigram model, [["<unk>", 0.0], ...]: an id is the place in the list.
BpeSpec parse_unigram(const Node& model, Index& index) {
  BpeSpec pieces;
  const Node vocab = required(model, "vocab");
  const std::size_t count = array_size(vocab);
  require(count > 0 && count <= static_cast<std::size_t>(kMaxTokenId), ErrorCode::kCorruptFile,
          "{}: has {} pieces, expected 1 to {}", vocab.where, count, kMaxTokenId);
  pieces.vocab.reserve(count);  // keeps the index's views valid
  for (std::size_t i = 0; i < count; ++i) {
    const Node piece = element(vocab, i);
    require(array_size(piece) == 2, ErrorCode::kCorruptFile,
            "{}: expected a piece and its score, found {} values", piece.where, array_size(piece));
    pieces.vocab.emplace_back(text(element(piece, 0)), static_cast<std::int32_t>(i));
    index.add(pieces.vocab.back().first, static_cast<std::int32_t>(i));
  }
  return pieces;
}

void parse_added(const Node& added, TokenizerSpec& spec, Index& index) {
  std::unordered_map<std::string_view, std::size_t> seen;  // places in spec.added
  const std::size_t count = array_size(added);
  spec.added.reserve(count);  // keeps the views into it valid
  for (std::size_t i = 0; i < count; ++i) {
    const Node node = element(added, i);
    AddedToken token = parse_added_token(node, id(required(node, "id")));
    if (const auto first = seen.find(token.content); first != seen.end()) {
      spec.added[first->second].special |= token.special;
      continue;
    }
    const auto known = index.ids.find(token.content);
    require(known == index.ids.end() || known->second == token.id, ErrorCode::kCorruptFile,
            "{}: {} has the id {} here and {} elsewhere", node.where, in_quotes(token.content),
            token.id, known == index.ids.end() ? 0 : known->second);
    const std::string* other = index.text_of(token.id);
    require(other == nullptr || *other == token.content, ErrorCode::kCorruptFile,
            "{}: {} has the id {}, which is the id of {} too", node.where, in_quotes(token.content),
            token.id, other == nullptr ? "" : in_quotes(*other));
    spec.added.push_back(std::move(token));
    seen.emplace(spec.added.back().content, spec.added.size() - 1);
    if (other == nullptr) index.add(spec.added.back().content, spec.added.back().id);
  }
}
}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where) {
  const Json document = parse_object(json, where);
  const Node root{&document, where + ": "};
  TokenizerSpec spec;
  Index index;
  const Node model = required(root, "model");
  spec.unigram = type_of(model) == "Unigram";
  spec.bpe = spec.unigram ? parse_unigram(model, index) : parse_bpe(model, index);
  if (const auto added = member(root, "added_tokens")) parse_added(*added, spec, index);
  if (const auto node = member(root, "post_processor")) parse_post_processor(*node, spec);
  const auto pre_tokenizer = member(root, "pre_tokenizer");
  if (pre_tokenizer && (!spec.unigram || type_of(*pre_tokenizer) == "Metaspace"))
    parse_pre_tokenizer(*pre_tokenizer, spec.pre_tokenizer);
  if (spec.unigram) return spec;
  if (const auto node = member(root, "normalizer")) parse_normalizer(*node, spec.normalizer);
  spec.decoder = parse_decoder(required(root, "decoder"));
  return spec;
}

}  // namespace airlock
