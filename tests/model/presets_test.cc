#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/model/checkpoint.h"
#include "airlock/model/config.h"

#include "tests/model/support.h"

namespace airlock::presets_test {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

TEST(Presets, HaveThePublishedNumberOfParameters) {
  // The counts that the model pages of Llama 3.1 and 3.2 give for the weights' files.
  EXPECT_EQ(find_preset("llama-3.2-1b")->parameters(), 1235814400);
  EXPECT_EQ(find_preset("llama-3.2-3b")->parameters(), 3212749824);
  EXPECT_EQ(find_preset("llama-3.1-8b")->parameters(), 8030261248);
  EXPECT_EQ(find_preset("llama-3.1-70b")->parameters(), 70553706496);
}

TEST(Presets, PassTheirOwnCheckAndCountWhatTheirTensorsHold) {
  for (const std::string_view name : preset_names()) {
    const ModelConfig config = *find_preset(name);
    EXPECT_NO_THROW(check_config(config, name));
    std::int64_t elements = 0;
    for (const TensorEntry& tensor : TensorTable(config)) elements += tensor.shape.elements();
    EXPECT_EQ(elements, config.parameters()) << name;
  }
}

TEST(Presets, AreFoundByNameOnly) {
  EXPECT_FALSE(find_preset("llama-3.2").has_value());
  EXPECT_EQ(config_of("tiny"), *find_preset("tiny"));
}

TEST(ConfigOf, ReadsAFolderAndSuggestsAPresetOtherwise) {
  const testing::TempDir dir;
  const ModelConfig config = testing::least_config();
  testing::write_file(dir / "config.json", config_to_json(config));
  EXPECT_EQ(config_of(dir.path().string()), config);
  const auto [code, message] = error_of([] { (void)config_of("llama-3.2-1B"); });
  EXPECT_EQ(code, ErrorCode::kNotFound);
  EXPECT_THAT(message, HasSubstr("did you mean `llama-3.2-1b`?"));
  EXPECT_THAT(message, HasSubstr("llama-3.1-70b tiny"));
}

}  // namespace
}  // namespace airlock::presets_test
