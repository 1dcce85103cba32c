#include "airlock/model/tokenizer_json.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <unordered_map>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/utf8.h"
#include "airlock/model/bpe.h"
#include "airlock/model/normalizer.h"
#include "airlock/model/pretokenizer.h"
#include "airlock/model/tokenizer_added.h"
#include "airlock/model/tokenizer_decoder.h"

namespace airlock {
namespace {

AddedTokens make_added(const TokenizerSpec& spec, const Normalizer& normalizer, bool normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> patterns;
  for (const AddedToken& token : spec.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    patterns.push_back(normalized ? normalizer.apply(token.content) : token.content);
  }
  return {tokens, patterns};
}

class JsonTokenizer : public Tokenizer {
 public:
  JsonTokenizer(TokenizerSpec spec, const TokenizerNames& names, const std::string& where)
      : pre_tokenizer_(spec.pre_tokenizer, where),
        bpe_(spec.bpe, pre_tokenizer_.byte_level() ? Bpe::Units::kBytes : Bpe::Units::kCharacters),
        normalizer_(spec.normalizer, where),
        added_(make_added(spec, normalizer_, false)),
        added_normalized_(make_added(spec, normalizer_, true)),
        decoder_(std::move(spec.decoder)),
        prefix_(std::move(spec.prefix)),
        suffix_(std::move(spec.suffix)) {
    fill_tables(spec);
    bos_ = named(names.bos, where, {"<|begin_of_text|>", "<s>"});
    eos_ = named(names.eos, where, {"<|end_of_text|>", "</s>"});
    if (!names.bos && !prefix_.empty()) bos_ = prefix_.front();
    warn_of("add_bos_token", names.add_bos, bos_ && !prefix_.empty() && bos_ == prefix_.front(),
            where);
    warn_of("add_eos_token", names.add_eos, eos_ && !suffix_.empty() && eos_ == suffix_.back(),
            where);
  }

  std::vector<std::int32_t> encode(std::string_view text, bool add_special) const override {
    require(text.size() <= kMaxText, ErrorCode::kInvalidArgument,
            "a text of {} bytes: at most {} can be encoded at once", text.size(), kMaxText);
    std::string repaired;
    if (!is_utf8(text)) {
      repaired = replace_ill_formed(text);
      text = repaired;
      require(text.size() <= kMaxText, ErrorCode::kInvalidArgument,
              "a text of {} bytes: at most {} can be encoded at once", text.size(), kMaxText);
    }
    std::vector<std::int32_t> ids;
    Work work;
    if (add_special) ids = prefix_;
    std::vector<AddedTokens::Piece> pieces;
    added_.split(text, pieces);
    for (const AddedTokens::Piece& piece : pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
      } else {
        encode_piece(piece.text, piece.text.data() == text.data(), work, ids);
      }
    }
    if (add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    return ids;
  }

  std::unique_ptr<StreamDecoder> stream_decoder(bool skip_special) const override {
    return make_stream_decoder(decoder_, [this, skip_special](std::int32_t id) {
      require(id >= 0 && id < vocab_size(), ErrorCode::kInvalidArgument,
              "token id {} is not one of the tokenizer's (below {})", id, vocab_size());
      const Token& token = tokens_[static_cast<std::size_t>(id)];
      return skip_special && token.special ? std::string_view() : std::string_view(token.text);
    });
  }

  std::int32_t vocab_size() const noexcept override {
    return static_cast<std::int32_t>(tokens_.size());
  }
  bool has(std::int64_t id) const noexcept override {
    return id >= 0 && id < vocab_size() && tokens_[static_cast<std::size_t>(id)].used;
  }
  std::string_view token_text(std::int32_t id) const override {
    require(has(id), ErrorCode::kInvalidArgument,
            "token id {} is not one of the tokenizer's (below {})", id, vocab_size());
    return tokens_[static_cast<std::size_t>(id)].text;
  }
  std::optional<std::int32_t> find_token(std::string_view text) const override {
    const auto found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  bool is_special(std::int32_t id) const noexcept override {
    return id >= 0 && id < vocab_size() && tokens_[static_cast<std::size_t>(id)].special;
  }
  std::optional<std::int32_t> bos() const noexcept override { return bos_; }
  std::optional<std::int32_t> eos() const noexcept override { return eos_; }

 private:
  static constexpr std::size_t kMaxText = std::numeric_limits<std::int32_t>::max();
  struct Token {
    std::string text;
    bool used = false;
    bool special = false;
  };
  struct Work {
    Bpe::Scratch bpe;
    PreTokenizer::Words words;
    std::vector<AddedTokens::Piece> pieces;
  };

  static void warn_of(const char* setting, std::optional<bool> said, bool done,
                      const std::string& where) {
    if (said.value_or(done) == done) return;
    log_warning(
        "{}: its template {} that token, though tokenizer_config.json says {}: {}; the template "
        "counts, as in transformers 5.24",
        where, done ? "adds" : "does not add", setting, !done);
  }

  void fill_tables(const TokenizerSpec& spec) {
    std::int32_t last = -1;
    for (const auto& [text, id] : spec.bpe.vocab) last = std::max(last, id);
    for (const AddedToken& token : spec.added) last = std::max(last, token.id);
    tokens_.resize(static_cast<std::size_t>(last) + 1);
    for (const auto& [text, id] : spec.bpe.vocab)
      tokens_[static_cast<std::size_t>(id)] = {text, true};
    for (const AddedToken& token : spec.added) {
      Token& entry = tokens_[static_cast<std::size_t>(token.id)];
      // `tokenizers` prints such a token in its normalized form ("▁<tool>").
      entry = {token.normalized ? normalizer_.apply(token.content) : token.content, true,
               entry.special || token.special};
    }
    added_list_ = spec.added;
    ids_.reserve(tokens_.size());
    for (const AddedToken& token : added_list_) ids_.emplace(token.content, token.id);
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      if (tokens_[i].used) ids_.emplace(tokens_[i].text, static_cast<std::int32_t>(i));
  }

  std::optional<std::int32_t> named(const std::optional<std::string>& name,
                                    const std::string& where,
                                    std::initializer_list<std::string_view> usual) const {
    if (name) {
      const auto id = find_token(*name);
      require(id.has_value(), ErrorCode::kCorruptFile,
              "{}: has no token `{}`, which tokenizer_config.json names", where, *name);
      return id;
    }
    for (const std::string_view text : usual)
      if (const auto id = find_token(text)) return id;
    return std::nullopt;
  }

  void encode_piece(std::string_view text, bool at_start, Work& work,
                    std::vector<std::int32_t>& ids) const {
    std::string normalized;
    if (!normalizer_.empty()) {
      normalized = normalizer_.apply(text);
      text = normalized;
      require(text.size() <= kMaxText, ErrorCode::kInvalidArgument,
              "a normalized text of {} bytes: at most {} can be encoded", text.size(), kMaxText);
    }
    added_normalized_.split(text, work.pieces);
    for (const AddedTokens::Piece& piece : work.pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
        continue;
      }
      pre_tokenizer_.split(piece.text, at_start && piece.text.data() == text.data(), work.words);
      for (const std::string_view word : work.words.words) bpe_.encode_word(word, work.bpe, ids);
    }
  }

  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  Normalizer normalizer_;
  AddedTokens added_;
  AddedTokens added_normalized_;
  DecoderSpec decoder_;
  std::vector<std::int32_t> prefix_, suffix_;
  std::vector<Token> tokens_;
  std::vector<AddedToken> added_list_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  ///< views into the two above
  std::optional<std::int32_t> bos_, eos_;
};
}  // namespace

std::unique_ptr<Tokenizer> make_json_tokenizer(TokenizerSpec spec, const TokenizerNames& names,
                                               const std::string& where) {
  require(!spec.unigram, ErrorCode::kUnsupported,
          "{}: a `Unigram` model is supported only with the tokenizer.model that it was made from "
          "beside it",
          where);
  return std::make_unique<JsonTokenizer>(std::move(spec), names, where);
}

}  // namespace airlock
