// A tokenizer.json, and text for it: a tokenizer whose ids are its own, or a typed error.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"
#include "airlock/model/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const std::unique_ptr<Tokenizer> tokenizer =
        make_json_tokenizer(parse_tokenizer_json(json, "fuzz"), {}, "fuzz");
    const std::vector<std::int32_t> ids = tokenizer->encode(json.substr(0, 200), true);
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
    if (!is_utf8(tokenizer->decode(ids, false))) std::abort();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  return 0;
}
