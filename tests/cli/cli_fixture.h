// A folder with a tiny checkpoint, and airlock processes in it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/model/config.h"
#include "airlock/model/synth.h"
#include "airlock/model/tokenizer_synth.h"

#include "tests/model/support.h"
#include "tests/support/process.h"

namespace airlock::testing {

class CliFixture : public ::testing::Test {
 protected:
  void SetUp() override { synth("model", 0); }

  void synth(const std::string& name, std::uint64_t seed) {
    const ModelConfig config = *find_preset("tiny");
    SynthOptions options;
    options.seed = seed;
    options.tokenizer_json = make_byte_level_tokenizer_json(config.vocab);
    synthesize(config, dir() / name, options);
  }

  [[nodiscard]] const std::filesystem::path& dir() const { return dir_.path(); }
  [[nodiscard]] std::string model() const { return (dir() / "model").string(); }
  [[nodiscard]] std::unique_ptr<Process> start(const std::vector<std::string>& arguments,
                                               const Start& how = {}) {
    return std::make_unique<Process>(dir(), "airlock" + std::to_string(started_++), arguments, how);
  }

 private:
  TempDir dir_;
  int started_ = 0;
};

}  // namespace airlock::testing
