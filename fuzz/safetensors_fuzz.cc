// The JSON header of a checkpoint file: read, with every range inside the data, or kCorruptFile.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "airlock/core/error.h"
#include "airlock/model/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  if (size < 2) return 0;
  const std::uint64_t data_bytes = 16U * data[0] + data[1];
  const std::string_view json(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    std::uint64_t end = 0;
    for (const SafetensorsEntry& entry : parse_safetensors_header(json, data_bytes, "fuzz")) {
      if (entry.begin < end || entry.bytes > data_bytes || entry.begin > data_bytes - entry.bytes) {
        std::abort();
      }
      end = entry.begin + entry.bytes;
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptFile) std::abort();
  }
  return 0;
}
