// The JSON header of a .safetensors file: parsed without building a tree, then checked.
// Inside the model room only.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "airlock/model/safetensors.h"

namespace airlock {

/// The tensors that the header `json` describes, in the order of their bytes, every range checked
/// against the `data_bytes` of the data section. `where` names the file in errors.
/// Throws Error(kCorruptFile).
std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json,
                                                       std::uint64_t data_bytes,
                                                       std::string_view where);

}  // namespace airlock
