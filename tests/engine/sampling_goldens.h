// What transformers makes of logits; tools/make_sampling_goldens.py says how it was recorded.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/paths.h"

namespace airlock::testing {

/// "warped", "logprobs" and "generations": arrays of cases.
inline nlohmann::json sampling_goldens() {
  std::ifstream file(data_dir() / "sampling" / "transformers.json");
  return nlohmann::json::parse(file);
}

}  // namespace airlock::testing
