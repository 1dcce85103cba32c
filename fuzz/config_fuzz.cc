// A config.json: a model that is written and read again is the same, or a typed error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "airlock/core/error.h"
#include "airlock/model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  ModelConfig config;
  try {
    config = parse_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptFile && error.code() != ErrorCode::kUnsupported) {
      std::abort();
    }
    return 0;
  }
  if (!(parse_config(config_to_json(config), "fuzz") == config)) std::abort();
  return 0;
}
