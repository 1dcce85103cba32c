#include "airlock/model/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/safetensors.h"

namespace airlock {
namespace {

/// A tensor's place: which file, and what its header says.
struct Place {
  std::size_t file = 0;
  const SafetensorsEntry* entry = nullptr;
};

}  // namespace

struct Checkpoint::Impl {
  explicit Impl(const std::filesystem::path& folder)
      : dir(folder), config(load_config(folder)), table(config) {}

  std::filesystem::path dir;
  ModelConfig config;
  TensorTable table;
  std::vector<SafetensorsFile> shards;
  std::vector<CheckpointFile> files;
  std::vector<Place> places;  ///< as the table counts

  void open_single(const std::filesystem::path& path);
  void open_shards(const std::filesystem::path& index);
  void add_shard(const std::string& name);
  void place(const TensorEntry& tensor, std::size_t file);
  [[nodiscard]] const Place& at(Weight weight, std::int64_t layer) const {
    return places[static_cast<std::size_t>(table.index_of(weight, layer))];
  }
};

void Checkpoint::Impl::add_shard(const std::string& name) {
  const SafetensorsFile& shard = shards.emplace_back(SafetensorsFile::open(dir / name));
  files.push_back({name, static_cast<std::int64_t>(shard.bytes()),
                   static_cast<std::int64_t>(shard.entries().size())});
}

/// Finds the tensor in that file and checks it.
void Checkpoint::Impl::place(const TensorEntry& tensor, std::size_t file) {
  const SafetensorsFile& shard = shards[file];
  const std::string name = tensor.name();
  const SafetensorsEntry* entry = shard.find(name);
  require(entry != nullptr, ErrorCode::kCorruptFile,
          "{}: has no tensor {}, which config.json calls for", shard.path().string(), name);
  require(std::ranges::equal(entry->dims, tensor.shape.dims()), ErrorCode::kCorruptFile,
          "{}: tensor {} has shape [{}], expected {}", shard.path().string(), name,
          fmt::join(entry->dims, ", "), tensor.shape);
  require(entry->dtype && *entry->dtype != DType::kI64, ErrorCode::kUnsupported,
          "{}: tensor {} is stored in {}, expected F32, F16 or BF16", shard.path().string(), name,
          entry->dtype_text);
  places.push_back({file, entry});
}

void Checkpoint::Impl::open_single(const std::filesystem::path& path) {
  add_shard(path.filename().string());
  for (const TensorEntry& tensor : table) place(tensor, 0);
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
  for (const TensorEntry& tensor : table) {
    const std::string name = tensor.name();
    const auto found = weight_map.find(name);
    require(found != weight_map.end(), ErrorCode::kCorruptFile,
            "{}: names no file for tensor {}, which config.json calls for", where, name);
    place(tensor, numbers.at(found->second));
  }
}

Checkpoint::Checkpoint(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::filesystem::path& dir) {
  auto impl = std::make_unique<Impl>(dir);
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
const TensorTable& Checkpoint::table() const noexcept {
  return impl_->table;
}
const std::filesystem::path& Checkpoint::dir() const noexcept {
  return impl_->dir;
}
const std::vector<CheckpointFile>& Checkpoint::files() const noexcept {
  return impl_->files;
}

ConstTensor Checkpoint::tensor(Weight weight, std::int64_t layer) const {
  const Place& place = impl_->at(weight, layer);
  return impl_->shards[place.file].tensor(place.entry->name);
}

TensorSpec Checkpoint::spec(Weight weight, std::int64_t layer) const {
  const SafetensorsEntry& entry = *impl_->at(weight, layer).entry;
  return {*entry.dtype, Shape(std::span<const std::int64_t>(entry.dims))};
}

std::span<const std::byte> Checkpoint::raw(Weight weight, std::int64_t layer) const {
  const Place& place = impl_->at(weight, layer);
  return impl_->shards[place.file].raw(*place.entry);
}

std::vector<float> Checkpoint::load_f32(Weight weight, std::int64_t layer) const {
  const Place& place = impl_->at(weight, layer);
  const std::span<const std::byte> bytes = raw(weight, layer);
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
