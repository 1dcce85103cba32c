#include "airlock/model/sentencepiece_tokenizer.h"

#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <sentencepiece_processor.h>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"
#include "airlock/model/tokenizer_added.h"

namespace airlock {
namespace {
using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's spelling of a space

struct Piece {
  enum Kind : std::uint8_t { kText, kByte, kControl, kUnknown, kAdded, kHole };
  std::string raw;   ///< as the model spells it
  std::string text;  ///< kText: with spaces; kByte: the byte; kUnknown: its surface; kAdded: as raw
  Kind kind = kHole;
};

/// What decoding a model does with the spaces at the front of a text.
struct LeadingSpace {
  bool drop = false;      ///< the dummy prefix that encoding added is taken off
  bool drop_all = false;  ///< and so are pieces that are nothing but it
};

class SentencePieceDecoder : public StreamDecoder {
 public:
  SentencePieceDecoder(const std::vector<Piece>& pieces, LeadingSpace leading, bool skip_special)
      : pieces_(pieces), leading_(leading), skip_special_(skip_special) {}

  void push(std::int32_t id, std::string& out) override {
    require(id >= 0 && static_cast<std::size_t>(id) < pieces_.size(), ErrorCode::kInvalidArgument,
            "token id {} is not one of the tokenizer's {}", id, pieces_.size());
    const Piece& piece = pieces_[static_cast<std::size_t>(id)];
    if (piece.kind == Piece::kHole) return;
    if (piece.kind == Piece::kByte) {
      run_ += piece.text;
      emit_run(false, out);
      return;
    }
    emit_run(true, out);
    if (space_seen_ || text_seen_) at_start_ = false;
    space_seen_ = false;
    if (piece.kind == Piece::kControl) {
      if (!skip_special_) out += piece.raw;
      return;
    }
    std::string_view text = piece.text;
    if (at_start_ && leading_.drop && piece.kind == Piece::kText && piece.raw.starts_with(kSpace)) {
      text.remove_prefix(1);
      space_seen_ = !leading_.drop_all;
    }
    text_seen_ = text_seen_ || !text.empty();
    out += text;
  }

  void flush(std::string& out) override {
    emit_run(true, out);
    at_start_ = true;
    space_seen_ = text_seen_ = false;
  }
  void mark_printed() override {}  // it holds back unfinished characters only

 private:
  /// Emits the run's characters as soon as they are whole; SentencePiece prints one U+FFFD for each
  /// byte that starts none.
  void emit_run(bool at_end, std::string& out) {
    std::size_t at = 0;
    while (at < run_.size()) {
      const Utf8Step step = utf8_step(std::string_view(run_).substr(at));
      if (step.kind == Utf8Step::kPartial && !at_end) break;
      const bool whole = step.kind == Utf8Step::kCharacter;
      out += whole ? std::string_view(run_).substr(at, step.length) : kReplacement;
      at += whole ? step.length : 1;
      text_seen_ = true;
    }
    run_.erase(0, at);
  }

  const std::vector<Piece>& pieces_;
  LeadingSpace leading_;
  bool skip_special_;
  bool at_start_ = true;
  bool space_seen_ = false;
  bool text_seen_ = false;
  std::string run_;
};

/// Which pieces of a text get the dummy prefix, beside the first, which does.
enum class DummyPrefix : std::uint8_t { kFirst, kUnlessSpace, kEvery };

DummyPrefix dummy_prefix(const TokenizerNames& names, const TokenizerSpec* unigram) {
  if (unigram != nullptr && !unigram->pre_tokenizer.empty()) {
    return unigram->pre_tokenizer.front().prepend == PreTokenizerStep::kAlways
               ? DummyPrefix::kUnlessSpace
               : DummyPrefix::kFirst;
  }
  if (!names.llama_class || unigram != nullptr) return DummyPrefix::kEvery;
  return names.legacy ? DummyPrefix::kUnlessSpace : DummyPrefix::kFirst;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const TokenizerNames& names,
                         const std::string& where, const TokenizerSpec* unigram)
      : dummy_prefix_(dummy_prefix(names, unigram)) {
    const auto status = processor_.LoadFromSerializedProto({model.data(), model.size()});
    // The library's own words name a line of its source.
    require(status.ok(), ErrorCode::kCorruptFile, "{}: is not a SentencePiece model", where);
    if (dummy_prefix_ != DummyPrefix::kEvery) load_unprefixed(model);
    const int count = processor_.GetPieceSize();
    require(count > 0 && count <= kMaxTokenId, ErrorCode::kCorruptFile,
            "{}: has {} pieces, expected 1 to {}", where, count, kMaxTokenId);
    pieces_.reserve(static_cast<std::size_t>(count));
    for (int id = 0; id < count; ++id) pieces_.push_back(make_piece(id, where));
    if (unigram != nullptr) check_pieces(unigram->bpe.vocab, where);
    add_tokens(unigram != nullptr ? unigram->added : names.added, names.special, where);
    find_leading_space();
    bos_ = named(names.bos, processor_.bos_id(), where);
    eos_ = named(names.eos, processor_.eos_id(), where);
    if (unigram != nullptr) {
      prefix_ = unigram->prefix;
      suffix_ = unigram->suffix;
      return;
    }
    if (bos_ && names.add_bos.value_or(true)) prefix_.push_back(*bos_);
    if (eos_ && names.add_eos.value_or(false)) suffix_.push_back(*eos_);
  }

  std::vector<std::int32_t> encode(std::string_view text, bool add_special) const override {
    constexpr std::size_t kMaxText = std::numeric_limits<std::int32_t>::max();
    require(text.size() <= kMaxText, ErrorCode::kInvalidArgument,
            "a text of {} bytes: at most {} can be encoded at once", text.size(), kMaxText);
    std::string repaired;
    if (!is_utf8(text)) {
      repaired = replace_ill_formed(text);
      text = repaired;
    }
    std::vector<std::int32_t> ids;
    if (add_special) ids = prefix_;
    std::vector<AddedTokens::Piece> outer;
    std::vector<AddedTokens::Piece> inner;
    added_->split(text, outer);
    for (const AddedTokens::Piece& part : outer) {
      if (part.id >= 0) {
        ids.push_back(part.id);
        continue;
      }
      added_normalized_->split(part.text, inner);
      for (const AddedTokens::Piece& piece : inner) {
        if (piece.id >= 0) {
          ids.push_back(piece.id);
        } else {
          encode_piece(piece.text, piece.text.data() == text.data(), ids);
        }
      }
    }
    if (add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    return ids;
  }

  std::unique_ptr<StreamDecoder> stream_decoder(bool skip_special) const override {
    return std::make_unique<SentencePieceDecoder>(pieces_, leading_, skip_special);
  }

  std::int32_t vocab_size() const noexcept override {
    return static_cast<std::int32_t>(pieces_.size());
  }
  bool has(std::int64_t id) const noexcept override {
    return id >= 0 && id < vocab_size() &&
           pieces_[static_cast<std::size_t>(id)].kind != Piece::kHole;
  }
  std::string_view token_text(std::int32_t id) const override {
    require(has(id), ErrorCode::kInvalidArgument, "token id {} is not one of the tokenizer's {}",
            id, vocab_size());
    return pieces_[static_cast<std::size_t>(id)].raw;
  }
  std::optional<std::int32_t> find_token(std::string_view text) const override {
    const auto found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  bool is_special(std::int32_t id) const noexcept override {
    return id >= 0 && id < vocab_size() &&
           pieces_[static_cast<std::size_t>(id)].kind == Piece::kControl;
  }
  std::optional<std::int32_t> bos() const noexcept override { return bos_; }
  std::optional<std::int32_t> eos() const noexcept override { return eos_; }

 private:
  void encode_piece(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const {
    const bool space = text.starts_with(' ') || text.starts_with(kSpace);
    const bool prefixed = at_start || dummy_prefix_ == DummyPrefix::kEvery ||
                          (dummy_prefix_ == DummyPrefix::kUnlessSpace && !space);
    std::vector<int> pieces;
    const auto status =
        (prefixed ? processor_ : unprefixed_).Encode({text.data(), text.size()}, &pieces);
    require(status.ok(), ErrorCode::kInternal, "SentencePiece could not encode a text: {}",
            status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  void load_unprefixed(std::string_view model) {
    // Of a protobuf message given twice the fields merge: normalizer_spec { add_dummy_prefix: false
    // }.
    std::string changed(model);
    changed.append("\x1A\x02\x18\x00", 4);
    const auto status = unprefixed_.LoadFromSerializedProto(changed);
    require(status.ok(), ErrorCode::kInternal, "SentencePiece refused a changed model: {}",
            status.ToString());
  }

  void check_pieces(const std::vector<std::pair<std::string, std::int32_t>>& vocab,
                    const std::string& where) const {
    bool same = vocab.size() == pieces_.size();
    for (const auto& [text, id] : vocab)
      same = same && pieces_[static_cast<std::size_t>(id)].raw == text;
    require(same, ErrorCode::kUnsupported,
            "{}: its pieces are not those of the Unigram model in the tokenizer.json beside it",
            where);
  }

  /// Takes up tokens beside the model's pieces, and what is to be looked for in texts: them, all
  /// that `special` names, and the model's control and unknown pieces.
  void add_tokens(const std::vector<AddedToken>& tokens, const std::vector<std::string>& special,
                  const std::string& where) {
    const std::size_t count = pieces_.size();
    std::unordered_map<std::string, std::int32_t> known;
    for (std::size_t id = 0; id < count; ++id)
      known.emplace(pieces_[id].raw, static_cast<std::int32_t>(id));
    std::vector<AddedToken> sought;
    std::unordered_set<std::string> seen;
    for (const AddedToken& token : tokens) {
      if (!seen.insert(token.content).second) continue;  // of the same text the first counts
      const auto at = static_cast<std::size_t>(token.id);
      if (at >= pieces_.size()) pieces_.resize(at + 1);
      Piece& piece = pieces_[at];
      const auto other = known.find(token.content);
      require(other == known.end() || other->second == token.id, ErrorCode::kCorruptFile,
              "{}: the added token `{}` has the id {}, but the piece of this text {}", where,
              token.content, token.id, other == known.end() ? 0 : other->second);
      require(piece.kind == Piece::kHole || piece.raw == token.content, ErrorCode::kCorruptFile,
              "{}: the added token `{}` has the id {}, which is that of `{}` too", where,
              token.content, token.id, piece.raw);
      if (piece.kind == Piece::kHole) piece = {token.content, token.content, Piece::kAdded};
      if (token.special) piece.kind = Piece::kControl;
      sought.push_back(token);
    }
    const auto seek = [&](const std::string& content, std::int32_t id) {
      if (seen.insert(content).second)
        sought.push_back({.content = content, .id = id, .special = true});
    };
    for (std::size_t id = 0; id < count; ++id) {
      const Piece::Kind kind = pieces_[id].kind;
      if (kind == Piece::kControl || kind == Piece::kUnknown)
        seek(pieces_[id].raw, static_cast<std::int32_t>(id));
    }
    for (const std::string& content : special) {
      const auto found = known.find(content);
      if (found == known.end()) continue;
      Piece& piece = pieces_[static_cast<std::size_t>(found->second)];
      if (piece.kind == Piece::kText) piece.kind = Piece::kControl;
      seek(content, found->second);
    }
    for (const bool normalized : {false, true}) {
      std::vector<AddedToken> these;
      std::vector<std::string> patterns;
      for (const AddedToken& token : sought) {
        if (token.normalized != normalized) continue;
        these.push_back(token);
        patterns.push_back(token.content);
      }
      (normalized ? added_normalized_ : added_).emplace(these, patterns);
    }
    for (std::size_t id = 0; id < pieces_.size(); ++id)
      if (pieces_[id].kind != Piece::kHole)
        ids_.emplace(pieces_[id].raw, static_cast<std::int32_t>(id));
  }

  [[nodiscard]] std::string library_decode(const std::vector<int>& ids) const {
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    require(status.ok(), ErrorCode::kInternal, "SentencePiece could not decode: {}",
            status.ToString());
    return text;
  }

  [[nodiscard]] Piece make_piece(int id, const std::string& where) const {
    Piece piece;
    piece.raw = processor_.IdToPiece(id);
    require(is_utf8(piece.raw), ErrorCode::kCorruptFile, "{}: piece {} is not valid UTF-8", where,
            id);
    if (processor_.IsControl(id)) {
      piece.kind = Piece::kControl;
    } else if (processor_.IsUnknown(id)) {
      piece.kind = Piece::kUnknown;
      piece.text = library_decode({id});
    } else if (processor_.IsByte(id)) {
      piece.kind = Piece::kByte;
      unsigned value = 0;
      for (const char c : std::string_view(piece.raw).substr(3, 2))
        value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : c - 'A' + 10);
      piece.text.push_back(static_cast<char>(value));
    } else {
      piece.kind = Piece::kText;
      std::string_view rest = piece.raw;
      while (!rest.empty()) {
        const bool space = rest.starts_with(kSpace);
        piece.text += space ? ' ' : rest.front();
        rest.remove_prefix(space ? kSpace.size() : 1);
      }
    }
    return piece;
  }

  /// The library does not show the model's settings, but what it decodes does.
  void find_leading_space() {
    for (std::size_t i = 0; i < pieces_.size() && !leading_.drop; ++i) {
      if (pieces_[i].kind != Piece::kText || !pieces_[i].raw.starts_with(kSpace)) continue;
      leading_.drop = library_decode({static_cast<int>(i)}) != pieces_[i].text;
      if (!leading_.drop) break;
    }
    if (const auto space = find_token(kSpace); space && leading_.drop)
      leading_.drop_all = library_decode({*space, *space}).empty();
  }

  [[nodiscard]] std::optional<std::int32_t> named(const std::optional<std::string>& name, int id,
                                                  const std::string& where) const {
    if (name) {
      const auto found = find_token(*name);
      require(found.has_value(), ErrorCode::kCorruptFile,
              "{}: has no token `{}`, which tokenizer_config.json names", where, *name);
      return found;
    }
    return id < 0 ? std::nullopt : std::optional<std::int32_t>(id);
  }

  SentencePieceProcessor processor_;
  SentencePieceProcessor unprefixed_;  ///< the same without the dummy prefix, if it is ever needed
  DummyPrefix dummy_prefix_;
  std::vector<Piece> pieces_;
  std::optional<AddedTokens> added_, added_normalized_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  LeadingSpace leading_;
  std::vector<std::int32_t> prefix_, suffix_;
  std::optional<std::int32_t> bos_, eos_;
};
}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model,
                                                        const TokenizerNames& names,
                                                        const std::string& where,
                                                        const TokenizerSpec* unigram) {
  return std::make_unique<SentencePieceTokenizer>(model, names, where, unigram);
}

}  // namespace airlock
