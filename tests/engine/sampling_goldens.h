// What transformers makes of logits; tools/make_sampling_goldens.py says how it was recorded.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace airlock::test {

/// "warped", "logprobs" and "generations": arrays of cases.
inline nlohmann::json sampling_goldens() {
  std::ifstream file(std::filesystem::path(AIRLOCK_TEST_DATA) / "sampling" / "transformers.json");
  return nlohmann::json::parse(file);
}

}  // namespace airlock::test
