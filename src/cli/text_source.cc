#include "cli/text_source.h"

#include <fstream>
#include <iterator>

#include "airlock/core/error.h"

namespace airlock {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  require(file.good(), ErrorCode::kNotFound, "{}: cannot read the file", path.string());
  std::string text(std::istreambuf_iterator<char>(file), {});
  require(!file.bad(), ErrorCode::kIo, "{}: cannot read the file to its end", path.string());
  return text;
}

std::vector<std::int64_t> token_ids(const Tokenizer& tokenizer, const ModelConfig& config,
                                    std::string_view text, bool add_special) {
  std::vector<std::int64_t> ids;
  for (const std::int32_t id : tokenizer.encode(text, add_special)) {
    require(id < config.vocab, ErrorCode::kCorruptFile,
            "the tokenizer gives id {}, the model's vocabulary has {}", id, config.vocab);
    ids.push_back(id);
  }
  return ids;
}

}  // namespace airlock
