#include "airlock/model/checkpoint.h"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/support.h"

namespace airlock::checkpoint_test {
namespace {

using testing::error_of;
using testing::find_raw;
using ::testing::HasSubstr;
using testing::least_config;
using testing::raw_tensors;
using testing::RawTensor;
using testing::TempDir;
using testing::write_checkpoint;
using testing::write_file;
using testing::write_sharded;

bool same_bytes(std::span<const std::byte> bytes, std::string_view expected) {
  return bytes.size() == expected.size() &&
         std::memcmp(bytes.data(), expected.data(), expected.size()) == 0;
}

/// Every tensor of the checkpoint is what was written.
void expect_content(const Checkpoint& checkpoint, std::vector<RawTensor> tensors) {
  for (const TensorEntry& entry : checkpoint.table()) {
    const RawTensor& expected = find_raw(tensors, entry.name());
    const LoadedTensor loaded = checkpoint.load(entry.weight, entry.layer);
    const ConstTensor tensor = loaded.view();
    EXPECT_EQ(tensor.spec.shape, entry.shape) << expected.name;
    EXPECT_TRUE(same_bytes({tensor.data, static_cast<std::size_t>(tensor.bytes())}, expected.data))
        << expected.name;
    EXPECT_EQ(checkpoint.spec(entry.weight, entry.layer), tensor.spec);
    checkpoint.will_need(entry.weight, entry.layer, 1, tensor.bytes() - 1);
    std::vector<std::byte> part(static_cast<std::size_t>(tensor.bytes() - 3));
    checkpoint.read(entry.weight, entry.layer, 2, part);
    EXPECT_TRUE(same_bytes(part, std::string_view(expected.data).substr(2, part.size())))
        << expected.name;
    EXPECT_EQ(error_of([&] { checkpoint.read(entry.weight, entry.layer, 4, part); }).first,
              ErrorCode::kInternal);
  }
}

ModelConfig two_layers() {
  ModelConfig config = least_config();
  config.layers = 2;
  config.tie_embeddings = false;
  return config;
}

TEST(Checkpoint, GivesEveryTensorOfOneFileAndOfShards) {
  const ModelConfig config = two_layers();
  const std::vector<RawTensor> tensors = raw_tensors(config);
  ASSERT_EQ(tensors.size(), 2U * 9 + 3);
  const TempDir dir;
  write_checkpoint(dir / "one", config, tensors);
  write_sharded(dir / "two", config, tensors);
  const auto one = Checkpoint::open(dir / "one");
  expect_content(*one, tensors);
  EXPECT_EQ(one->config(), config);
  ASSERT_EQ(one->files().size(), 1U);
  EXPECT_EQ(one->files()[0].tensors, 21);
  const auto two = Checkpoint::open(dir / "two");
  expect_content(*two, tensors);
  EXPECT_EQ(two->files().size(), 2U);
}

/// The bytes of a tensor as the checkpoint gives them.
std::string bytes_of(const Checkpoint& checkpoint, Weight weight) {
  const LoadedTensor loaded = checkpoint.load(weight);
  return {loaded.view().as<char>(), static_cast<std::size_t>(loaded.view().bytes())};
}

TEST(Checkpoint, TiesAStoredLmHeadThatIsTheEmbedding) {
  const ModelConfig config = least_config();
  std::vector<RawTensor> tensors = raw_tensors(config);
  const std::string embedding = find_raw(tensors, "model.embed_tokens.weight").data;
  tensors.push_back({"lm_head.weight", "BF16", {8, 4}, embedding});
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, "1234"});
  const TempDir dir;
  for (const bool sharded : {false, true}) {
    (sharded ? write_sharded : write_checkpoint)(dir / (sharded ? "b" : "a"), config, tensors);
    const auto checkpoint = Checkpoint::open(dir / (sharded ? "b" : "a"));
    EXPECT_TRUE(checkpoint->config().tie_embeddings);
    EXPECT_EQ(bytes_of(*checkpoint, Weight::kLmHead), embedding);
    EXPECT_THAT(checkpoint->warnings(), ::testing::IsEmpty());
  }
  // The same numbers in f32.
  RawTensor& head = find_raw(tensors, "lm_head.weight");
  head.dtype = "F32";
  head.data.clear();
  for (std::size_t i = 0; i < embedding.size(); i += 2) {
    head.data += std::string(2, '\0') + embedding.substr(i, 2);
  }
  write_checkpoint(dir / "c", config, tensors);
  EXPECT_TRUE(Checkpoint::open(dir / "c")->config().tie_embeddings);
}

TEST(Checkpoint, UsesAStoredLmHeadThatDiffersFromTheEmbeddingItIsSaidToBeTiedTo) {
  const ModelConfig config = least_config();
  std::vector<RawTensor> tensors = raw_tensors(config);
  std::string head = find_raw(tensors, "model.embed_tokens.weight").data;
  ++head.back();
  tensors.push_back({"lm_head.weight", "BF16", {8, 4}, head});
  const TempDir dir;
  for (const bool sharded : {false, true}) {
    (sharded ? write_sharded : write_checkpoint)(dir / (sharded ? "b" : "a"), config, tensors);
    const auto checkpoint = Checkpoint::open(dir / (sharded ? "b" : "a"));
    EXPECT_FALSE(checkpoint->config().tie_embeddings);
    EXPECT_EQ(bytes_of(*checkpoint, Weight::kLmHead), head);
    expect_content(*checkpoint, tensors);
    EXPECT_THAT(checkpoint->warnings(),
                ::testing::ElementsAre(HasSubstr("tie_word_embeddings is true, but")));
  }
  find_raw(tensors, "lm_head.weight").dims = {4, 8};
  write_checkpoint(dir / "c", config, tensors);
  EXPECT_THAT(error_of([&] { (void)Checkpoint::open(dir / "c"); }).second,
              HasSubstr("lm_head.weight has shape [4, 8], expected [8, 4]"));
}

TEST(Checkpoint, TakesTheLmHeadAsTheEmbeddingWhereATiedModelStoresThatAlone) {
  const ModelConfig config = least_config();
  std::vector<RawTensor> tensors = raw_tensors(config);
  RawTensor& only = find_raw(tensors, "model.embed_tokens.weight");
  only.name = "lm_head.weight";
  const std::string data = only.data;
  const TempDir dir;
  write_checkpoint(dir.path(), config, tensors);
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_EQ(bytes_of(*checkpoint, Weight::kEmbedding), data);
  EXPECT_EQ(bytes_of(*checkpoint, Weight::kLmHead), data);
}

TEST(Checkpoint, RefusesTensorsInsideItsModulesThatItDoesNotApply) {
  const ModelConfig config = two_layers();
  const TempDir dir;
  for (const char* name :
       {"model.layers.1.self_attn.q_proj.bias", "model.layers.0.mlp.down_proj.bias",
        "model.layers.0.self_attn.q_norm.weight", "model.norm.bias", "lm_head.bias",
        "model.layers.0.mlp.up_proj.weight_scale"}) {
    SCOPED_TRACE(name);
    std::vector<RawTensor> tensors = raw_tensors(config);
    tensors.push_back({name, "BF16", {4}, std::string(7, '\0') + "x"});
    write_checkpoint(dir.path(), config, tensors);
    const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir.path()); });
    EXPECT_EQ(code, ErrorCode::kUnsupported);
    EXPECT_THAT(message, HasSubstr(fmt::format("model.safetensors: holds a tensor {} ", name)));
  }
}

TEST(Checkpoint, IgnoresBiasesOfZeroAndWarnsOfTensorsOutsideItsModules) {
  const ModelConfig config = two_layers();
  std::vector<RawTensor> tensors = raw_tensors(config);
  tensors.push_back({"model.layers.1.self_attn.q_proj.bias", "BF16", {4}, std::string(8, '\0')});
  const TempDir dir;
  write_checkpoint(dir.path(), config, tensors);
  EXPECT_THAT(Checkpoint::open(dir.path())->warnings(), ::testing::IsEmpty());
  tensors.push_back({"model.layers.2.mlp.up_proj.weight", "BF16", {1}, "xx"});
  tensors.push_back({"score.weight", "BF16", {1}, "xx"});
  write_checkpoint(dir.path(), config, tensors);
  const auto checkpoint = Checkpoint::open(dir.path());
  expect_content(*checkpoint, tensors);
  EXPECT_THAT(checkpoint->warnings(),
              ::testing::ElementsAre(HasSubstr("2 tensors are no part of the model and ignored")));
}

TEST(Checkpoint, ConvertsEveryStoredDTypeToF32) {
  const ModelConfig config = least_config();
  const float values[4] = {1.0F, -0.5F, 3.140625F, 65280.0F};  // exact in bf16 and in f16
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    std::vector<RawTensor> tensors = raw_tensors(config);
    RawTensor& norm = find_raw(tensors, "model.norm.weight");
    norm.data.clear();
    norm.dtype = dtype == DType::kF32 ? "F32" : dtype == DType::kBF16 ? "BF16" : "F16";
    for (const float value : values) {
      const std::uint16_t bits =
          dtype == DType::kBF16 ? BF16::from_float(value).bits : F16::from_float(value).bits;
      const void* from = dtype == DType::kF32 ? static_cast<const void*>(&value) : &bits;
      norm.data.append(static_cast<const char*>(from), dtype_size(dtype));
    }
    const TempDir dir;
    write_checkpoint(dir.path(), config, tensors);
    const auto checkpoint = Checkpoint::open(dir.path());
    EXPECT_EQ(checkpoint->spec(Weight::kFinalNorm).dtype, dtype);
    EXPECT_THAT(checkpoint->load_f32(Weight::kFinalNorm), ::testing::ElementsAreArray(values));
  }
}

TEST(Checkpoint, RefusesALayerOutOfRange) {
  const TempDir dir;
  write_checkpoint(dir.path(), two_layers(), raw_tensors(two_layers()));
  const auto checkpoint = Checkpoint::open(dir.path());
  for (const auto& [weight, layer] : std::vector<std::pair<Weight, std::int64_t>>{
           {Weight::kUp, 2}, {Weight::kUp, kNoLayer}, {Weight::kFinalNorm, 0}}) {
    EXPECT_EQ(error_of([&] { (void)checkpoint->load(weight, layer); }).first,
              ErrorCode::kInvalidArgument);
  }
}

struct Damage {
  const char* what;
  std::function<void(std::vector<RawTensor>&)> apply;
  ErrorCode code;
  const char* says;
};

TEST(Checkpoint, RefusesTensorsThatTheConfigDoesNotCallFor) {
  const ModelConfig config = two_layers();
  constexpr const char* kUp = "model.layers.1.mlp.up_proj.weight";
  const auto erase = [](const char* name) {
    return [=](std::vector<RawTensor>& tensors) {
      std::erase_if(tensors, [&](const RawTensor& tensor) { return tensor.name == name; });
    };
  };
  const std::vector<Damage> damages = {
      {"missing", erase(kUp), ErrorCode::kCorruptFile,
       "model.safetensors: has no tensor model.layers.1.mlp.up_proj.weight"},
      {"missing head", erase("lm_head.weight"), ErrorCode::kCorruptFile, "lm_head.weight"},
      {"wrong shape",
       [](std::vector<RawTensor>& tensors) {
         find_raw(tensors, kUp) = {kUp, "BF16", {6, 3}, std::string(36, 'x')};
       },
       ErrorCode::kCorruptFile,
       "model.safetensors: tensor model.layers.1.mlp.up_proj.weight has shape [6, 3], expected "
       "[6, 4]"},
      {"transposed",
       [](std::vector<RawTensor>& tensors) {
         find_raw(tensors, kUp).dims = {4, 6};
       },
       ErrorCode::kCorruptFile, "has shape [4, 6], expected [6, 4]"},
      {"flattened", [](std::vector<RawTensor>& tensors) { find_raw(tensors, kUp).dims = {24}; },
       ErrorCode::kCorruptFile, "has shape [24], expected [6, 4]"},
      {"five dimensions",
       [](std::vector<RawTensor>& tensors) {
         find_raw(tensors, kUp).dims = {1, 1, 1, 6, 4};
       },
       ErrorCode::kCorruptFile, "has shape [1, 1, 1, 6, 4], expected [6, 4]"},
      {"integers", [](std::vector<RawTensor>& tensors) { find_raw(tensors, kUp).dtype = "I16"; },
       ErrorCode::kUnsupported, "is stored in I16, expected F32, F16 or BF16"},
      {"token ids",
       [](std::vector<RawTensor>& tensors) {
         find_raw(tensors, kUp) = {kUp, "I64", {6, 4}, std::string(192, 'x')};
       },
       ErrorCode::kUnsupported, "is stored in I64"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.what);
    std::vector<RawTensor> tensors = raw_tensors(config);
    damage.apply(tensors);
    const TempDir dir;
    write_checkpoint(dir.path(), config, tensors);
    const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir.path()); });
    EXPECT_EQ(code, damage.code) << message;
    EXPECT_THAT(message, HasSubstr(damage.says));
  }
}

TEST(Checkpoint, RefusesAHugeLayerCountAtTheFirstMissingTensor) {
  ModelConfig config = least_config();
  const TempDir dir;
  write_checkpoint(dir.path(), config, raw_tensors(config));
  config.layers = ModelConfig::kMaxLayers;
  write_file(dir / "config.json", config_to_json(config));
  EXPECT_THAT(error_of([&] { (void)Checkpoint::open(dir.path()); }).second,
              HasSubstr("model.layers.1.input_layernorm.weight"));
}

struct BadIndex {
  const char* what;
  std::string text;
  ErrorCode code;
  const char* says;
};

TEST(Checkpoint, RefusesHostileIndexes) {
  const ModelConfig config = least_config();
  const auto naming = [](std::string_view file) {
    return fmt::format(R"({{"weight_map":{{"model.embed_tokens.weight":"{}"}}}})", file);
  };
  const std::string deep = std::string(100000, '[');
  const ErrorCode corrupt = ErrorCode::kCorruptFile;
  const std::vector<BadIndex> indexes = {
      {"parent", naming("../x.safetensors"), corrupt, "names the file \"../x.safetensors\""},
      {"absolute", naming("/etc/x.safetensors"), corrupt, "of the same folder"},
      {"below", naming("a/x.safetensors"), corrupt, "of the same folder"},
      {"backslash", naming(R"(a\\x.safetensors)"), corrupt, "of the same folder"},
      {"NUL", naming(R"(x\u0000.safetensors)"), corrupt, "of the same folder"},
      {"empty", naming(""), corrupt, "of the same folder"},
      {"dots", naming(".."), corrupt, "of the same folder"},
      {"pickle", naming("pytorch_model.bin"), corrupt, "expected a .safetensors file"},
      {"missing shard", naming("model-00001-of-00002.safetensors"), ErrorCode::kNotFound,
       "names model-00001-of-00002.safetensors, which is not in the folder"},
      {"no map", R"({"metadata":{}})", corrupt, "has no weight_map"},
      {"map is a list", R"({"weight_map":[]})", corrupt, "has no weight_map"},
      {"map is a text", R"({"weight_map":"a.safetensors"})", corrupt, "is not an object"},
      {"two maps", R"({"weight_map":{},"weight_map":{}})", corrupt, "two weight_maps"},
      {"a number as file", R"({"weight_map":{"a":1}})", corrupt, "gives a no file name"},
      {"a list as file", R"({"weight_map":{"a":["b"]}})", corrupt, "gives a no file name"},
      {"an object as file", R"({"weight_map":{"a":{}}})", corrupt, "gives a no file name"},
      {"a tensor twice", R"({"weight_map":{"a":"m.safetensors","a":"n.safetensors"}})", corrupt,
       "names tensor a twice"},
      {"empty map", R"({"weight_map":{}})", corrupt, "names no file for tensor"},
      {"deep", R"({"x":)" + deep, corrupt, "nested deeper"},
      {"a list", "[]", corrupt, "is not a JSON object"},
      {"not JSON", "weight_map", corrupt, "is not valid JSON"},
      {"not UTF-8", "{\"\xff\":1}", corrupt, "is not valid JSON"},
      {"empty file", "", corrupt, "is not valid JSON"},
  };
  const TempDir dir;
  write_file(dir / "config.json", config_to_json(config));
  for (const BadIndex& index : indexes) {
    SCOPED_TRACE(index.what);
    write_file(dir / "model.safetensors.index.json", index.text);
    const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir.path()); });
    EXPECT_EQ(code, index.code) << message;
    EXPECT_THAT(message, HasSubstr(index.says));
    EXPECT_THAT(message, HasSubstr("model.safetensors.index.json"));
  }
}

TEST(Checkpoint, RefusesAnIndexThatPointsToTheWrongShard) {
  const ModelConfig config = least_config();
  const TempDir dir;
  write_sharded(dir.path(), config, raw_tensors(config));
  std::string index = testing::read_file(dir / "model.safetensors.index.json");
  const std::string wanted = R"("model.norm.weight":"model-0000)";
  const std::size_t digit = index.find(wanted) + wanted.size();
  ASSERT_LT(digit, index.size());
  index[digit] = index[digit] == '1' ? '2' : '1';
  write_file(dir / "model.safetensors.index.json", index);
  const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir.path()); });
  EXPECT_EQ(code, ErrorCode::kCorruptFile);
  EXPECT_THAT(message, HasSubstr("has no tensor model.norm.weight"));
}

TEST(Checkpoint, SaysWhatAFolderWithoutWeightsNeeds) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { (void)Checkpoint::open(dir.path()); }).first, ErrorCode::kNotFound);
  write_file(dir / "config.json", config_to_json(least_config()));
  write_file(dir / "pytorch_model.bin", "PK");
  const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir.path()); });
  EXPECT_EQ(code, ErrorCode::kNotFound);
  EXPECT_THAT(message, HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
}

}  // namespace
}  // namespace airlock::checkpoint_test
