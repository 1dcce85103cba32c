#include "airlock/model/tokenizer_decoder.h"

#include <optional>
#include <utility>

#include "airlock/core/utf8.h"
#include "airlock/model/bpe.h"

namespace airlock {
namespace {
using TextOf = std::function<std::string_view(std::int32_t)>;

class ByteLevelDecoder : public StreamDecoder {
 public:
  explicit ByteLevelDecoder(TextOf text_of) : text_of_(std::move(text_of)) {}

  void push(std::int32_t id, std::string& out) override {
    const std::string_view text = text_of_(id);
    bytes_.clear();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = utf8_step(text.substr(at)).length;
      const int byte = alphabet_byte(utf8_code_point(text.substr(at, length)));
      if (byte < 0) {  // a token that is not spelled in the alphabet stands for itself
        stream_.push(text, out);
        return;
      }
      bytes_.push_back(static_cast<char>(byte));
      at += length;
    }
    stream_.push(bytes_, out);
  }
  void flush(std::string& out) override { stream_.flush(out); }
  void mark_printed() override {}  // it holds back unfinished characters only

 private:
  TextOf text_of_;
  std::string bytes_;
  Utf8Stream stream_;
};

/// The byte that a token `<0xNN>` stands for.
std::optional<char> byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const bool letter = (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
    if (!letter && (c < '0' || c > '9')) return std::nullopt;
    value = value * 16 + (letter ? (c & 0xF) + 9 : c - '0');
  }
  return static_cast<char>(value);
}

/// Replace, ByteFallback, Fuse, Strip.
class ReplacingDecoder : public StreamDecoder {
 public:
  ReplacingDecoder(const DecoderSpec& spec, TextOf text_of)
      : spec_(spec), text_of_(std::move(text_of)), strip_left_(spec.strip_count) {}

  void push(std::int32_t id, std::string& out) override {
    std::string text(text_of_(id));
    if (text.empty()) return;
    if (!spec_.from.empty())
      for (std::size_t at = text.find(spec_.from); at != std::string::npos;
           at = text.find(spec_.from, at + spec_.to.size()))
        text.replace(at, spec_.from.size(), spec_.to);
    if (spec_.byte_fallback) {
      if (const auto byte = byte_of(text)) {
        run_.push_back(*byte);
        return;
      }
      end_run(out);
    }
    emit(text, out);
  }

  void flush(std::string& out) override {
    end_run(out);
    strip_left_ = spec_.strip_count;
  }

  void mark_printed() override {
    std::size_t whole = 0;
    while (whole < run_.size()) {
      const Utf8Step step = utf8_step(std::string_view(run_).substr(whole));
      if (step.kind == Utf8Step::kPartial) break;
      whole += step.length;
    }
    std::string unfinished = run_.substr(whole);
    run_.resize(whole);
    std::string printed;
    end_run(printed);
    run_ = std::move(unfinished);
  }

 private:
  void end_run(std::string& out) {
    if (run_.empty()) return;
    std::string text;
    if (is_utf8(run_)) {
      text = run_;
    } else {
      for (std::size_t i = 0; i < run_.size(); ++i) text += kReplacement;
    }
    run_.clear();
    emit(text, out);
  }

  void emit(std::string_view text, std::string& out) {
    while (strip_left_ > 0 && !text.empty()) {
      if (!text.starts_with(spec_.strip)) {
        strip_left_ = 0;
        break;
      }
      text.remove_prefix(spec_.strip.size());
      --strip_left_;
    }
    out += text;
  }

  const DecoderSpec& spec_;
  TextOf text_of_;
  std::int64_t strip_left_;
  std::string run_;
};

class MetaspaceDecoder : public StreamDecoder {
 public:
  MetaspaceDecoder(const DecoderSpec& spec, TextOf text_of)
      : spec_(spec), text_of_(std::move(text_of)) {}

  void push(std::int32_t id, std::string& out) override {
    std::string_view text = text_of_(id);
    if (text.empty()) return;
    while (!text.empty()) {
      if (text.starts_with(spec_.from)) {
        if (!first_ || !spec_.drop_first) out += ' ';
        text.remove_prefix(spec_.from.size());
      } else {
        out += text.front();
        text.remove_prefix(1);
      }
    }
    first_ = false;
  }
  void flush(std::string& /*out*/) override { first_ = true; }
  void mark_printed() override {}  // it holds back nothing

 private:
  const DecoderSpec& spec_;
  TextOf text_of_;
  bool first_ = true;
};
}  // namespace

std::unique_ptr<StreamDecoder> make_stream_decoder(const DecoderSpec& spec, TextOf text_of) {
  switch (spec.kind) {
    case DecoderSpec::kByteLevel:
      return std::make_unique<ByteLevelDecoder>(std::move(text_of));
    case DecoderSpec::kMetaspace:
      return std::make_unique<MetaspaceDecoder>(spec, std::move(text_of));
    case DecoderSpec::kReplace:
      break;
  }
  return std::make_unique<ReplacingDecoder>(spec, std::move(text_of));
}

}  // namespace airlock
