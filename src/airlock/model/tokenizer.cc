#include "airlock/model/tokenizer.h"

#include <optional>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/input_file.h"
#include "airlock/model/sentencepiece_tokenizer.h"
#include "airlock/model/tokenizer_json.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {
namespace {
namespace fs = std::filesystem;

/// 25 times the largest published tokenizer.json.
constexpr std::uint64_t kMaxTokenizerBytes = std::uint64_t{512} << 20U;

std::optional<std::string> read(const fs::path& path) {
  return read_text_file_if_listed(path, kMaxTokenizerBytes);
}

/// What transformers read before tokenizer_config.json had `added_tokens_decoder`.
void read_older_files(const fs::path& model_dir, TokenizerNames& names) {
  const fs::path map = model_dir / "special_tokens_map.json";
  if (const auto text = read(map)) parse_special_tokens_map(*text, map.string(), names);
  const fs::path added = model_dir / "added_tokens.json";
  if (const auto text = read(added)) parse_added_tokens(*text, added.string(), names);
}
}  // namespace

std::string StreamDecoder::push(std::int32_t id) {
  std::string out;
  push(id, out);
  return out;
}

std::string StreamDecoder::flush() {
  std::string out;
  flush(out);
  return out;
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& model_dir) {
  require_folder(model_dir);
  TokenizerNames names;
  const fs::path config = model_dir / "tokenizer_config.json";
  if (const auto text = read(config)) names = parse_tokenizer_config(*text, config.string());
  const fs::path json = model_dir / "tokenizer.json";
  const fs::path model = model_dir / "tokenizer.model";
  if (const auto text = read(json)) {
    TokenizerSpec spec = parse_tokenizer_json(*text, json.string());
    if (spec.unigram) {
      if (const auto proto = read(model))
        return make_sentencepiece_tokenizer(*proto, names, model.string(), &spec);
    }
    return make_json_tokenizer(std::move(spec), names, json.string());
  }
  if (const auto proto = read(model)) {
    if (!names.has_added_tokens_decoder) read_older_files(model_dir, names);
    return make_sentencepiece_tokenizer(*proto, names, model.string());
  }
  fail(ErrorCode::kNotFound, "{}: has neither tokenizer.json nor tokenizer.model",
       model_dir.string());
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  const std::unique_ptr<StreamDecoder> decoder = stream_decoder(skip_special);
  std::string text;
  for (const std::int32_t id : ids) decoder->push(id, text);
  decoder->flush(text);
  return text;
}

}  // namespace airlock
