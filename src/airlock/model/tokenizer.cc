#include "airlock/model/tokenizer.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/model/sentencepiece_tokenizer.h"
#include "airlock/model/tokenizer_json.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {
namespace {
namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string read_file(const fs::path& path) {
  // 25 times the largest published tokenizer.json.
  constexpr std::uintmax_t kMaxSize = std::uintmax_t{512} << 20U;
  std::error_code error;
  require(fs::is_regular_file(path, error), ErrorCode::kIo, "{}: not a regular file",
          path.string());
  const std::uintmax_t size = fs::file_size(path, error);
  require(!error, ErrorCode::kIo, "{}: {}", path.string(), error.message());
  require(size <= kMaxSize, ErrorCode::kCorruptFile, "{}: has {} bytes, expected at most {}",
          path.string(), size, kMaxSize);
  std::ifstream in(path, std::ios::binary);
  require(in.is_open(), ErrorCode::kIo, "{}: {}", path.string(), std::strerror(errno));
  std::string content(static_cast<std::size_t>(size), '\0');
  in.read(content.data(), static_cast<std::streamsize>(size));
  require(in.gcount() == static_cast<std::streamsize>(size), ErrorCode::kIo,
          "{}: read {} of {} bytes", path.string(), in.gcount(), size);
  return content;
}
/// What transformers read before tokenizer_config.json had `added_tokens_decoder`.
void read_older_files(const fs::path& model_dir, TokenizerNames& names) {
  if (const fs::path map = model_dir / "special_tokens_map.json"; is_there(map))
    parse_special_tokens_map(read_file(map), map.string(), names);
  if (const fs::path added = model_dir / "added_tokens.json"; is_there(added))
    parse_added_tokens(read_file(added), added.string(), names);
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
  TokenizerNames names;
  if (const fs::path config = model_dir / "tokenizer_config.json"; is_there(config))
    names = parse_tokenizer_config(read_file(config), config.string());
  const fs::path json = model_dir / "tokenizer.json";
  const fs::path model = model_dir / "tokenizer.model";
  if (is_there(json)) {
    TokenizerSpec spec = parse_tokenizer_json(read_file(json), json.string());
    if (spec.unigram && is_there(model))
      return make_sentencepiece_tokenizer(read_file(model), names, model.string(), &spec);
    return make_json_tokenizer(std::move(spec), names, json.string());
  }
  if (is_there(model)) {
    if (!names.has_added_tokens_decoder) read_older_files(model_dir, names);
    return make_sentencepiece_tokenizer(read_file(model), names, model.string());
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
