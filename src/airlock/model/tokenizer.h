// Text to token ids and back, as the model was trained: Hugging Face tokenizer.json (BPE) or
// SentencePiece tokenizer.model. Ids equal those of the `tokenizers` and `sentencepiece` packages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace airlock {

/// Turns a stream of ids into text, holding back what a later id could still change: the start of a
/// UTF-8 sequence (or, with SentencePiece-style byte fallback in a tokenizer.json, a run of byte
/// tokens). What it returns, concatenated, equals Tokenizer::decode of all ids. Every string it
/// returns is valid UTF-8. Not thread-safe; the tokenizer it came from must outlive it.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  /// The text that is certain after `id`; often "". An id in a hole of the vocabulary prints
  /// nothing, as with the `tokenizers` package. Throws Error(kInvalidArgument) for an id outside
  /// [0, vocab_size); the decoder then is as before the call.
  [[nodiscard]] std::string push(std::int32_t id);
  /// What was held back, U+FFFD for what never became a character. Afterwards the decoder is as
  /// new.
  [[nodiscard]] std::string flush();

  /// As push and flush, appended to `out`.
  virtual void push(std::int32_t id, std::string& out) = 0;
  virtual void flush(std::string& out) = 0;

  /// Takes the text of all ids so far as printed already, that of a prompt for example: what was
  /// held back of it is dropped, but for the bytes of an unfinished character, and what is pushed
  /// next reads as the middle of that text: where there is any, the space that a text's start loses
  /// stays.
  virtual void mark_printed() = 0;
};

/// One model's tokenizer. Immutable after load: const methods may be called from several threads.
///
/// Text that is not valid UTF-8 is read as Python's `bytes.decode("utf-8", errors="replace")` reads
/// it: each maximal ill-formed subpart becomes one U+FFFD (Unicode 16, section 3.9, D93b). Text
/// that spells an added or control token ("<|eot_id|>") becomes that token, as in Hugging Face.
class Tokenizer {
 public:
  /// Reads tokenizer.json of `model_dir`, or tokenizer.model where there is none or its model is
  /// Unigram. tokenizer_config.json, if there, names the BOS and EOS tokens, and for a
  /// tokenizer.model says which tokens there are beside it (`added_tokens_decoder`; where it does
  /// not, added_tokens.json and special_tokens_map.json do) and whether BOS and EOS are added.
  /// Beside a tokenizer.json the template decides that, as in transformers 5.24; a setting that
  /// contradicts the template is logged as a warning. `truncation` and `padding` of a
  /// tokenizer.json are not applied. Throws Error: kNotFound (neither file), kIo, kCorruptFile (not
  /// what its format says, or names tokens it does not have), kUnsupported (valid, but a kind no
  /// Llama uses; named).
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& model_dir);

  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  virtual ~Tokenizer() = default;

  /// The ids of `text`; with `add_special` the model's BOS (and whatever else its template adds)
  /// around them. Throws Error(kInvalidArgument) past 2^31 - 1 bytes.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text,
                                                         bool add_special) const = 0;
  /// The text of `ids`; special tokens print as their own text unless `skip_special`, and ids in
  /// holes as nothing. Throws Error(kInvalidArgument) for an id outside [0, vocab_size).
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids, bool skip_special) const;
  /// Decodes ids one at a time.
  [[nodiscard]] virtual std::unique_ptr<StreamDecoder> stream_decoder(
      bool skip_special = true) const = 0;

  /// Highest id plus one. Ids below it may be unused where the file leaves holes.
  [[nodiscard]] virtual std::int32_t vocab_size() const noexcept = 0;
  /// True for an id that the tokenizer has: in range and not in a hole.
  [[nodiscard]] virtual bool has(std::int64_t id) const noexcept = 0;
  /// The vocabulary's own text of `id` ("Ġhello", "▁the", "<0x0A>"). Throws Error(kInvalidArgument)
  /// for an id the tokenizer does not have.
  [[nodiscard]] virtual std::string_view token_text(std::int32_t id) const = 0;
  /// The id whose token_text is `text`, or that the file names so.
  [[nodiscard]] virtual std::optional<std::int32_t> find_token(std::string_view text) const = 0;
  /// True for control tokens that decode skips on request. False for ids out of range.
  [[nodiscard]] virtual bool is_special(std::int32_t id) const noexcept = 0;
  /// The token that starts a text, and the one that ends it, where the model names them. What ends
  /// generation is config.json's eos_token_id, which may list more.
  [[nodiscard]] virtual std::optional<std::int32_t> bos() const noexcept = 0;
  [[nodiscard]] virtual std::optional<std::int32_t> eos() const noexcept = 0;
};

}  // namespace airlock
