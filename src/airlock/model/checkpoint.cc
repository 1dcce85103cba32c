#include "airlock/model/checkpoint.h"

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/safetensors.h"

namespace airlock {
namespace {

/// Roles of one layer, in forward order; kEmbedding comes before them, kFinalNorm after.
constexpr std::array kLayerRoles = {
    TensorRole::kInputNorm, TensorRole::kQ,  TensorRole::kK,
    TensorRole::kV,         TensorRole::kO,  TensorRole::kPostAttentionNorm,
    TensorRole::kGate,      TensorRole::kUp, TensorRole::kDown,
};
constexpr auto kPerLayer = static_cast<std::int64_t>(kLayerRoles.size());

/// Position in tensors_of.
std::size_t index_of(const ModelConfig& config, TensorId id) {
  switch (id.role) {
    case TensorRole::kEmbedding:
      return 0;
    case TensorRole::kFinalNorm:
      return static_cast<std::size_t>(1 + config.layers * kPerLayer);
    case TensorRole::kLmHead:
      return static_cast<std::size_t>(2 + config.layers * kPerLayer);
    default:
      break;
  }
  const auto role =
      static_cast<std::int64_t>(id.role) - static_cast<std::int64_t>(TensorRole::kInputNorm);
  return static_cast<std::size_t>(1 + id.layer * kPerLayer + role);
}

/// A tensor's place: which file, and what its header says.
struct Place {
  std::size_t file = 0;
  const SafetensorsEntry* entry = nullptr;
};

}  // namespace

bool is_per_layer(TensorRole role) noexcept {
  return role != TensorRole::kEmbedding && role != TensorRole::kFinalNorm &&
         role != TensorRole::kLmHead;
}

std::string tensor_name(TensorId id) {
  const auto in_layer = [&](std::string_view part) {
    return fmt::format("model.layers.{}.{}.weight", id.layer, part);
  };
  switch (id.role) {
    case TensorRole::kEmbedding:
      return "model.embed_tokens.weight";
    case TensorRole::kInputNorm:
      return in_layer("input_layernorm");
    case TensorRole::kQ:
      return in_layer("self_attn.q_proj");
    case TensorRole::kK:
      return in_layer("self_attn.k_proj");
    case TensorRole::kV:
      return in_layer("self_attn.v_proj");
    case TensorRole::kO:
      return in_layer("self_attn.o_proj");
    case TensorRole::kPostAttentionNorm:
      return in_layer("post_attention_layernorm");
    case TensorRole::kGate:
      return in_layer("mlp.gate_proj");
    case TensorRole::kUp:
      return in_layer("mlp.up_proj");
    case TensorRole::kDown:
      return in_layer("mlp.down_proj");
    case TensorRole::kFinalNorm:
      return "model.norm.weight";
    case TensorRole::kLmHead:
      return "lm_head.weight";
  }
  fail(ErrorCode::kInternal, "tensor role {}", static_cast<int>(id.role));
}

Shape tensor_shape(const ModelConfig& config, TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kLmHead:
      return {config.vocab, config.hidden};
    case TensorRole::kInputNorm:
    case TensorRole::kPostAttentionNorm:
    case TensorRole::kFinalNorm:
      return {config.hidden};
    case TensorRole::kQ:
      return {config.q_dim(), config.hidden};
    case TensorRole::kK:
    case TensorRole::kV:
      return {config.kv_dim(), config.hidden};
    case TensorRole::kO:
      return {config.hidden, config.q_dim()};
    case TensorRole::kGate:
    case TensorRole::kUp:
      return {config.ffn, config.hidden};
    case TensorRole::kDown:
      return {config.hidden, config.ffn};
  }
  fail(ErrorCode::kInternal, "tensor role {}", static_cast<int>(role));
}

std::vector<TensorId> tensors_of(const ModelConfig& config) {
  std::vector<TensorId> ids;
  ids.reserve(static_cast<std::size_t>(config.layers * kPerLayer + 3));
  ids.push_back({TensorRole::kEmbedding, 0});
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    for (const TensorRole role : kLayerRoles) ids.push_back({role, layer});
  }
  ids.push_back({TensorRole::kFinalNorm, 0});
  if (!config.tie_embeddings) ids.push_back({TensorRole::kLmHead, 0});
  return ids;
}

struct Checkpoint::Impl {
  std::filesystem::path dir;
  ModelConfig config;
  std::vector<SafetensorsFile> shards;
  std::vector<CheckpointFile> files;
  std::vector<Place> places;  ///< by index_of

  void open_single(const std::filesystem::path& path);
  void open_shards(const std::filesystem::path& index);
  void add_shard(const std::string& name);
  void place(TensorId id, std::size_t file);
  [[nodiscard]] const Place& at(TensorRole role, std::int64_t layer) const;
};

void Checkpoint::Impl::add_shard(const std::string& name) {
  const SafetensorsFile& shard = shards.emplace_back(SafetensorsFile::open(dir / name));
  files.push_back({name, static_cast<std::int64_t>(shard.bytes()),
                   static_cast<std::int64_t>(shard.entries().size())});
}

/// Finds the tensor in that file and checks it.
void Checkpoint::Impl::place(TensorId id, std::size_t file) {
  const SafetensorsFile& shard = shards[file];
  const std::string name = tensor_name(id);
  const SafetensorsEntry* entry = shard.find(name);
  require(entry != nullptr, ErrorCode::kCorruptFile,
          "{}: has no tensor {}, which config.json calls for", shard.path().string(), name);
  const Shape expected = tensor_shape(config, id.role);
  require(std::ranges::equal(entry->dims, expected.dims()), ErrorCode::kCorruptFile,
          "{}: tensor {} has shape [{}], expected {}", shard.path().string(), name,
          fmt::join(entry->dims, ", "), expected.to_string());
  require(entry->dtype && *entry->dtype != DType::kI64, ErrorCode::kUnsupported,
          "{}: tensor {} is stored in {}, expected F32, F16 or BF16", shard.path().string(), name,
          entry->dtype_text);
  places.push_back({file, entry});
}

void Checkpoint::Impl::open_single(const std::filesystem::path& path) {
  add_shard(path.filename().string());
  for (const TensorId id : tensors_of(config)) place(id, 0);
}

void Checkpoint::Impl::open_shards(const std::filesystem::path& index) {
  const std::string where = index.string();
  const auto weight_map = parse_weight_map(read_text_file(index, kMaxIndexBytes), where);
  std::map<std::string_view, std::size_t> numbers;
  for (const auto& [name, file] : weight_map) {
    if (!numbers.emplace(file, shards.size()).second) continue;
    std::error_code ignored;
    require(std::filesystem::exists(dir / file, ignored), ErrorCode::kNotFound,
            "{}: names {}, which is not in the folder (is the download complete?)", where,
            excerpt(file));
    add_shard(file);
  }
  for (const TensorId id : tensors_of(config)) {
    const auto found = weight_map.find(tensor_name(id));
    require(found != weight_map.end(), ErrorCode::kCorruptFile,
            "{}: names no file for tensor {}, which config.json calls for", where, tensor_name(id));
    place(id, numbers.at(found->second));
  }
}

const Place& Checkpoint::Impl::at(TensorRole role, std::int64_t layer) const {
  if (role == TensorRole::kLmHead && config.tie_embeddings) role = TensorRole::kEmbedding;
  const std::int64_t layers = is_per_layer(role) ? config.layers : 1;
  require(layer >= 0 && layer < layers, ErrorCode::kInvalidArgument,
          "layer {} of tensor {}, expected below {}", layer, tensor_name({role, layer}), layers);
  return places[index_of(config, {role, layer})];
}

Checkpoint::Checkpoint(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::filesystem::path& dir) {
  auto impl = std::make_unique<Impl>();
  impl->dir = dir;
  impl->config = load_config(dir);
  std::error_code ignored;
  const std::filesystem::path single = dir / "model.safetensors";
  const std::filesystem::path index = dir / "model.safetensors.index.json";
  if (std::filesystem::exists(single, ignored)) {
    impl->open_single(single);
  } else if (std::filesystem::exists(index, ignored)) {
    impl->open_shards(index);
  } else {
    fail(ErrorCode::kNotFound,
         "{}: holds neither model.safetensors nor model.safetensors.index.json (weights in other "
         "formats, e.g. pytorch_model.bin, must be converted first)",
         dir.string());
  }
  return std::shared_ptr<const Checkpoint>(new Checkpoint(std::move(impl)));
}

const ModelConfig& Checkpoint::config() const noexcept {
  return impl_->config;
}
const std::filesystem::path& Checkpoint::dir() const noexcept {
  return impl_->dir;
}
const std::vector<CheckpointFile>& Checkpoint::files() const noexcept {
  return impl_->files;
}

ConstTensor Checkpoint::tensor(TensorRole role, std::int64_t layer) const {
  const Place& place = impl_->at(role, layer);
  return impl_->shards[place.file].tensor(place.entry->name);
}

TensorSpec Checkpoint::spec(TensorRole role, std::int64_t layer) const {
  const SafetensorsEntry& entry = *impl_->at(role, layer).entry;
  return {*entry.dtype, Shape(std::span<const std::int64_t>(entry.dims))};
}

std::span<const std::byte> Checkpoint::raw(TensorRole role, std::int64_t layer) const {
  const Place& place = impl_->at(role, layer);
  return impl_->shards[place.file].raw(*place.entry);
}

std::vector<float> Checkpoint::load_f32(TensorRole role, std::int64_t layer) const {
  const Place& place = impl_->at(role, layer);
  const std::span<const std::byte> bytes = raw(role, layer);
  const DType dtype = *place.entry->dtype;
  const std::size_t step = dtype_size(dtype);
  std::vector<float> values(bytes.size() / step);
  for (std::size_t i = 0; i < values.size(); ++i) {
    // memcpy: the file may hold the tensor at any alignment.
    const std::byte* from = bytes.data() + i * step;
    if (dtype == DType::kF32) {
      std::memcpy(&values[i], from, 4);
    } else {
      std::uint16_t bits = 0;
      std::memcpy(&bits, from, 2);
      values[i] = dtype == DType::kBF16 ? BF16{bits}.to_float() : F16{bits}.to_float();
    }
  }
  return values;
}

void Checkpoint::will_need(const ConstTensor& tensor) const {
  will_need({tensor.data, static_cast<std::size_t>(tensor.bytes())});
}

void Checkpoint::drop_pages(const ConstTensor& tensor) const {
  drop_pages({tensor.data, static_cast<std::size_t>(tensor.bytes())});
}

void Checkpoint::will_need(std::span<const std::byte> bytes) const noexcept {
  for (const SafetensorsFile& shard : impl_->shards) shard.will_need(bytes);
}

void Checkpoint::drop_pages(std::span<const std::byte> bytes) const noexcept {
  for (const SafetensorsFile& shard : impl_->shards) shard.drop_pages(bytes);
}

}  // namespace airlock
