#include "airlock/model/sentencepiece_tokenizer.h"

#include <limits>
#include <unordered_map>
#include <vector>

#include <sentencepiece_processor.h>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_utf8.h"

namespace airlock {
namespace {
using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's spelling of a space

struct Piece {
  enum Kind : std::uint8_t { kText, kByte, kControl, kUnknown };
  std::string raw;   ///< as the model spells it
  std::string text;  ///< kText: with spaces; kByte: the byte; kUnknown: its surface
  Kind kind = kText;
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

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const TokenizerNames& names,
                         const std::string& where) {
    const auto status = processor_.LoadFromSerializedProto({model.data(), model.size()});
    require(status.ok(), ErrorCode::kCorruptFile, "{}: not a SentencePiece model: {}", where,
            status.ToString());
    const int count = processor_.GetPieceSize();
    require(count > 0 && count <= kMaxTokenId, ErrorCode::kCorruptFile,
            "{}: has {} pieces, expected 1 to {}", where, count, kMaxTokenId);
    pieces_.reserve(static_cast<std::size_t>(count));
    for (int id = 0; id < count; ++id) pieces_.push_back(make_piece(id, where));
    for (int id = 0; id < count; ++id) ids_.emplace(pieces_[static_cast<std::size_t>(id)].raw, id);
    find_leading_space();
    bos_ = named(names.bos, processor_.bos_id(), where);
    eos_ = named(names.eos, processor_.eos_id(), where);
    if (names.add_bos.value_or(true)) prefix_ = bos_;
    if (names.add_eos.value_or(false)) suffix_ = eos_;
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
    std::vector<int> pieces;
    const auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    require(status.ok(), ErrorCode::kInternal, "SentencePiece could not encode a text: {}",
            status.ToString());
    std::vector<std::int32_t> ids;
    ids.reserve(pieces.size() + 2);
    if (add_special && prefix_) ids.push_back(*prefix_);
    ids.insert(ids.end(), pieces.begin(), pieces.end());
    if (add_special && suffix_) ids.push_back(*suffix_);
    return ids;
  }

  std::unique_ptr<StreamDecoder> stream_decoder(bool skip_special) const override {
    return std::make_unique<SentencePieceDecoder>(pieces_, leading_, skip_special);
  }

  std::int32_t vocab_size() const noexcept override {
    return static_cast<std::int32_t>(pieces_.size());
  }
  bool has(std::int64_t id) const noexcept override { return id >= 0 && id < vocab_size(); }
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
  std::vector<Piece> pieces_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  LeadingSpace leading_;
  std::optional<std::int32_t> bos_, eos_, prefix_, suffix_;
};
}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model,
                                                        const TokenizerNames& names,
                                                        const std::string& where) {
  return std::make_unique<SentencePieceTokenizer>(model, names, where);
}

}  // namespace airlock
