// The text after --worker: an address that prints and parses to itself, or kInvalidArgument.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "airlock/core/error.h"
#include "airlock/link/uri.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  try {
    const Uri uri = parse_uri({reinterpret_cast<const char*>(data), size});
    if (!(parse_uri(uri.to_string()) == uri)) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) std::abort();
  }
  return 0;
}
