#include "airlock/model/tensor_table.h"

#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/support.h"

namespace airlock::tensor_table_test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::error_of;
using ::testing::HasSubstr;
using testing::least_config;

/// Two layers, untied, every width unlike every other.
ModelConfig two_layers() {
  ModelConfig config = least_config();
  config.layers = 2;
  config.hidden = 10;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 6;
  config.ffn = 14;
  config.vocab = 20;
  config.tie_embeddings = false;
  return config;
}

std::vector<std::string> described(const ModelConfig& config) {
  std::vector<std::string> lines;
  for (const TensorEntry& entry : TensorTable(config)) {
    lines.push_back(fmt::format("{} {}", entry.name(), entry.shape));
  }
  return lines;
}

TEST(TensorTable, ListsWhatACheckpointStoresInForwardOrderByItsHuggingFaceNames) {
  std::vector<std::string> expected = {"model.embed_tokens.weight [20, 10]"};
  for (const int layer : {0, 1}) {
    for (const char* tensor :
         {"input_layernorm.weight [10]", "self_attn.q_proj.weight [24, 10]",
          "self_attn.k_proj.weight [12, 10]", "self_attn.v_proj.weight [12, 10]",
          "self_attn.o_proj.weight [10, 24]", "post_attention_layernorm.weight [10]",
          "mlp.gate_proj.weight [14, 10]", "mlp.up_proj.weight [14, 10]",
          "mlp.down_proj.weight [10, 14]"}) {
      expected.push_back(fmt::format("model.layers.{}.{}", layer, tensor));
    }
  }
  expected.emplace_back("model.norm.weight [10]");
  ModelConfig config = two_layers();
  config.tie_embeddings = true;
  EXPECT_THAT(described(config), ElementsAreArray(expected));
  config.tie_embeddings = false;
  expected.emplace_back("lm_head.weight [20, 10]");
  EXPECT_THAT(described(config), ElementsAreArray(expected));
}

TEST(TensorTable, FindsEveryEntryWhereItListsIt) {
  ModelConfig config = two_layers();
  for (const bool tied : {false, true}) {
    config.tie_embeddings = tied;
    const TensorTable table(config);
    EXPECT_EQ(table.size(), tied ? 20 : 21);
    std::int64_t index = 0;
    for (const TensorEntry& entry : table) {
      EXPECT_EQ(table.index_of(entry.weight, entry.layer), index++) << entry.name();
      EXPECT_EQ(weight_shape(config, entry.weight), entry.shape) << entry.name();
    }
    EXPECT_EQ(index, table.size());
    EXPECT_EQ(table.index_of(Weight::kLmHead, kNoLayer), tied ? 0 : 20);
  }
}

TEST(TensorTable, RefusesLayersThatTheModelLacksAndLayersOfWhatItHasOnce) {
  const TensorTable table(two_layers());
  for (const std::int64_t layer : {-2, kNoLayer, 2, std::numeric_limits<int>::max()}) {
    const auto [code, message] = error_of([&] { (void)table.index_of(Weight::kUp, layer); });
    EXPECT_EQ(code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(message, HasSubstr("mlp.up_proj.weight, expected below 2"));
  }
  for (const Weight weight : {Weight::kEmbedding, Weight::kFinalNorm, Weight::kLmHead}) {
    const auto [code, message] = error_of([&] { (void)table.index_of(weight, 0); });
    EXPECT_EQ(code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(message, HasSubstr("layer 0 of tensor " + tensor_name(weight)));
  }
}

TEST(TensorTable, CountsWhatItsEntriesHoldAndStopsBelowTwoToThe63) {
  ModelConfig config = two_layers();
  for (const bool tied : {false, true}) {
    config.tie_embeddings = tied;
    std::int64_t elements = 0;
    for (const TensorEntry& entry : TensorTable(config)) elements += entry.shape.elements();
    EXPECT_EQ(count_elements(config), elements);
  }
  config.layers = ModelConfig::kMaxLayers;
  config.hidden = config.ffn = config.vocab = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(count_elements(config), std::numeric_limits<std::int64_t>::max());
}

TEST(TensorTable, NamesLayersInAllNumbersOfThem) {
  ModelConfig config = two_layers();
  config.layers = ModelConfig::kMaxLayers;
  const TensorTable table(config);
  const std::int64_t index = table.index_of(Weight::kDown, config.layers - 1);
  EXPECT_EQ(index, table.size() - 3);
  EXPECT_EQ(table[index].name(), "model.layers.65535.mlp.down_proj.weight");
}

TEST(Weight, LayerMatricesHaveTheNumbersOfTheWire) {
  std::vector<int> numbers;
  std::vector<std::string_view> names;
  for (const Weight weight : layer_matrices()) {
    numbers.push_back(static_cast<int>(weight));
    names.push_back(weight_name(weight));
  }
  EXPECT_THAT(numbers, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(names, ElementsAre("q", "k", "v", "o", "gate", "up", "down"));
  for (unsigned value = 0; value < 300; ++value) EXPECT_EQ(is_layer_matrix(value), value < 7);
}

TEST(Weight, NumbersOfNoTensorAreUnknown) {
  for (const int value : {kWeightCount, 255}) {
    const auto weight = static_cast<Weight>(value);
    EXPECT_EQ(weight_name(weight), "unknown");
    EXPECT_THROW((void)weight_shape(two_layers(), weight), Error);
    EXPECT_THROW((void)tensor_name(weight), Error);
    EXPECT_THROW((void)TensorTable(two_layers()).index_of(weight, 0), Error);
  }
}

TEST(Weight, NeighboursMultiplyTheSameRowsAndFollowOneAnother) {
  std::vector<std::string> pairs;
  for (int a = 0; a < kWeightCount; ++a) {
    for (int b = 0; b < kWeightCount; ++b) {
      const auto first = static_cast<Weight>(a);
      const auto next = static_cast<Weight>(b);
      if (!is_next_to(first, next)) continue;
      pairs.push_back(fmt::format("{} {}", weight_name(first), weight_name(next)));
    }
  }
  EXPECT_THAT(pairs, ElementsAre("q k", "k v", "gate up"));
}

}  // namespace
}  // namespace airlock::tensor_table_test
