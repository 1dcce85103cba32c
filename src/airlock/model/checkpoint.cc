#include "airlock/model/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/input_file.h"

namespace airlock {
namespace {

/// A tensor's place: which file, and what its header says.
struct Place {
  std::size_t file = 0;
  const SafetensorsEntry* entry = nullptr;
};

/// A buffer of RoPE's that checkpoints of old versions hold: reckoned from the configuration.
constexpr std::string_view kOldRopeBuffer = ".rotary_emb.inv_freq";

/// True for "model-00001-of-00004.safetensors".
bool is_shard_name(std::string_view name) {
  return name.starts_with("model-") && name.find("-of-") != std::string_view::npos &&
         name.ends_with(".safetensors");
}

}  // namespace

struct Checkpoint::Impl {
  explicit Impl(const std::filesystem::path& folder)
      : dir(folder), config(load_config(folder, &warnings)), table(config) {}

  std::filesystem::path dir;
  std::vector<std::string> warnings;
  ModelConfig config;
  TensorTable table;
  std::vector<SafetensorsFile> shards;
  std::vector<CheckpointFile> files;
  std::string index;                                        ///< the file that names shards, or ""
  std::map<std::string, std::size_t, std::less<>> file_of;  ///< what it says
  std::vector<Place> places;                                ///< as the table counts

  void open_shards(const std::filesystem::path& path);
  void add_shard(const std::string& name);
  void place_all();
  [[noreturn]] void fail_without_weights() const;
  [[nodiscard]] const Place& at(Weight weight, std::int64_t layer) const {
    return places[static_cast<std::size_t>(table.index_of(weight, layer))];
  }

 private:
  [[nodiscard]] std::optional<Place> find(std::string_view name) const;
  [[nodiscard]] Place place_of(const TensorEntry& tensor) const;
  void check(const Place& place, const TensorEntry& tensor) const;
  void untie_if_stored_apart();
  void check_unused();
  [[nodiscard]] bool same_values(const Place& a, const Place& b) const;
  [[nodiscard]] bool is_zero(const Place& place) const;
  [[nodiscard]] bool is_of_model(std::string_view name) const;
};

void Checkpoint::Impl::add_shard(const std::string& name) {
  const SafetensorsFile& shard = shards.emplace_back(SafetensorsFile::open(dir / name));
  files.push_back({name, static_cast<std::int64_t>(shard.bytes()),
                   static_cast<std::int64_t>(shard.entries().size())});
}

void Checkpoint::Impl::open_shards(const std::filesystem::path& path) {
  index = path.string();
  std::map<std::string_view, std::size_t> numbers;
  const auto weight_map = parse_weight_map(read_text_file(path, kMaxIndexBytes), index);
  for (const auto& [name, file] : weight_map) {
    const auto [known, is_new] = numbers.emplace(file, shards.size());
    file_of.emplace(name, known->second);
    if (!is_new) continue;
    require(is_listed(dir / file), ErrorCode::kNotFound,
            "{}: names {}, which is not in the folder (is the download complete?)", index,
            excerpt(file));
    add_shard(file);
  }
}

void Checkpoint::Impl::fail_without_weights() const {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    require(!is_shard_name(name), ErrorCode::kNotFound,
            "{}: holds shards ({}), but not model.safetensors.index.json, which says what is in "
            "which (is the download complete?)",
            dir.string(), excerpt(name));
  }
  fail(ErrorCode::kNotFound,
       "{}: holds neither model.safetensors nor model.safetensors.index.json (weights in other "
       "formats, e.g. pytorch_model.bin, must be converted first)",
       dir.string());
}

std::optional<Place> Checkpoint::Impl::find(std::string_view name) const {
  std::size_t file = 0;
  if (!index.empty()) {
    const auto found = file_of.find(name);
    if (found == file_of.end()) return std::nullopt;
    file = found->second;
  }
  const SafetensorsEntry* entry = shards[file].find(name);
  require(entry != nullptr || index.empty(), ErrorCode::kCorruptFile,
          "{}: has no tensor {}, which {} says it holds", shards[file].path().string(),
          excerpt(name), index);
  if (entry == nullptr) return std::nullopt;
  return Place{file, entry};
}

void Checkpoint::Impl::check(const Place& place, const TensorEntry& tensor) const {
  const SafetensorsEntry& entry = *place.entry;
  const std::string where = shards[place.file].path().string();
  require(std::ranges::equal(entry.dims, tensor.shape.dims()), ErrorCode::kCorruptFile,
          "{}: tensor {} has shape [{}], expected {}", where, entry.name,
          fmt::join(entry.dims, ", "), tensor.shape);
  require(entry.dtype && *entry.dtype != DType::kI64, ErrorCode::kUnsupported,
          "{}: tensor {} is stored in {}, expected F32, F16 or BF16", where, entry.name,
          entry.dtype_text);
}

Place Checkpoint::Impl::place_of(const TensorEntry& tensor) const {
  const std::string name = tensor.name();
  std::optional<Place> place = find(name);
  // Tied to each other, either may be the one that is stored.
  if (!place && tensor.weight == Weight::kEmbedding && config.tie_embeddings) {
    place = find(tensor_name(Weight::kLmHead));
  }
  if (!place && index.empty()) {
    fail(ErrorCode::kCorruptFile, "{}: has no tensor {}, which config.json calls for",
         shards[0].path().string(), name);
  }
  require(place.has_value(), ErrorCode::kCorruptFile,
          "{}: names no file for tensor {}, which config.json calls for", index, name);
  check(*place, tensor);
  return *place;
}

void Checkpoint::Impl::place_all() {
  untie_if_stored_apart();
  for (const TensorEntry& tensor : table) places.push_back(place_of(tensor));
  check_unused();
}

/// As transformers 5: of two stored matrices that differ neither stands in for the other, whatever
/// config.json says.
void Checkpoint::Impl::untie_if_stored_apart() {
  if (!config.tie_embeddings) return;
  const auto embedding = find(tensor_name(Weight::kEmbedding));
  const auto head = find(tensor_name(Weight::kLmHead));
  if (!embedding || !head) return;
  const Shape shape = weight_shape(config, Weight::kLmHead);
  check(*embedding, {Weight::kEmbedding, kNoLayer, TensorUse::kTokens, shape});
  check(*head, {Weight::kLmHead, kNoLayer, TensorUse::kLogits, shape});
  if (same_values(*embedding, *head)) return;
  config.tie_embeddings = false;
  table = TensorTable(config);
  warnings.push_back(
      fmt::format("{}: tie_word_embeddings is true, but {} holds a {} that differs from {}: it is "
                  "used, not tied",
                  (dir / "config.json").string(), files[head->file].name, head->entry->name,
                  embedding->entry->name));
}

bool Checkpoint::Impl::same_values(const Place& a, const Place& b) const {
  constexpr std::int64_t kStep = std::int64_t{1} << 18;  // elements
  const DType dtypes[] = {*a.entry->dtype, *b.entry->dtype};
  const Place* const places_of[] = {&a, &b};
  std::vector<std::byte> stored[2];
  std::vector<float> wide[2];
  const std::int64_t all = shards[a.file].spec(*a.entry).shape.elements();
  for (std::int64_t at = 0; at < all; at += kStep) {
    const std::int64_t count = std::min(kStep, all - at);
    for (int i = 0; i < 2; ++i) {
      const std::size_t size = dtype_size(dtypes[i]);
      stored[i].resize(static_cast<std::size_t>(count) * size);
      shards[places_of[i]->file].read(*places_of[i]->entry, static_cast<std::uint64_t>(at) * size,
                                      stored[i]);
    }
    if (dtypes[0] == dtypes[1]) {
      if (stored[0] != stored[1]) return false;
      continue;
    }
    for (int i = 0; i < 2; ++i) {
      wide[i].resize(static_cast<std::size_t>(count));
      convert_elements(dtypes[i], stored[i].data(), DType::kF32, wide[i].data(), count);
    }
    if (wide[0] != wide[1]) return false;
  }
  return true;
}

/// What is stored beside the model's tensors: inside one of its modules it would be applied by who
/// knows it (a bias, a norm of queries), so that it must not be passed over; elsewhere it is said.
void Checkpoint::Impl::check_unused() {
  std::set<std::string_view> used;
  for (const Place& place : places) used.insert(place.entry->name);
  if (config.tie_embeddings) used.insert("lm_head.weight");  // the embedding once more
  std::vector<std::string> others;
  for (std::size_t file = 0; file < shards.size(); ++file) {
    for (const SafetensorsEntry& entry : shards[file].entries()) {
      if (used.contains(entry.name) || entry.name.ends_with(kOldRopeBuffer)) continue;
      if (!is_of_model(entry.name)) {
        others.push_back(excerpt(entry.name));
      } else if (!is_zero({file, &entry})) {
        fail(ErrorCode::kUnsupported,
             "{}: holds a tensor {} that Airlock does not apply, it runs only models without",
             shards[file].path().string(), excerpt(entry.name));
      }
    }
  }
  if (others.empty()) return;
  warnings.push_back(fmt::format("{}: {} tensors are no part of the model and ignored, e.g. {}",
                                 dir.string(), others.size(), others.front()));
}

/// True of a bias that adds nothing. What is not a bias is not zero.
bool Checkpoint::Impl::is_zero(const Place& place) const {
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;
  const SafetensorsEntry& entry = *place.entry;
  if (!entry.name.ends_with(".bias") || entry.bytes > kMostBytes) return false;
  std::vector<std::byte> bytes(entry.bytes);
  shards[place.file].read(entry, 0, bytes);
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

/// True inside the modules that the model has: its layers, embedding, last norm and LM head.
bool Checkpoint::Impl::is_of_model(std::string_view name) const {
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) {
    return name.starts_with("model.embed_tokens.") || name.starts_with("model.norm.") ||
           name.starts_with("lm_head.");
  }
  std::int64_t layer = 0;
  const char* const end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kLayers.size(), end, layer);
  return error == std::errc{} && after != end && *after == '.' && layer < config.layers;
}

Checkpoint::Checkpoint(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::filesystem::path& dir) {
  auto impl = std::make_unique<Impl>(dir);
  const std::string single = "model.safetensors";
  const std::filesystem::path index = dir / "model.safetensors.index.json";
  if (is_listed(dir / single)) {
    impl->add_shard(single);
  } else if (is_listed(index)) {
    impl->open_shards(index);
  } else {
    impl->fail_without_weights();
  }
  impl->place_all();
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
const std::vector<std::string>& Checkpoint::warnings() const noexcept {
  return impl_->warnings;
}

LoadedTensor Checkpoint::load(Weight weight, std::int64_t layer) const {
  const Place& place = impl_->at(weight, layer);
  return impl_->shards[place.file].load(*place.entry);
}

TensorSpec Checkpoint::spec(Weight weight, std::int64_t layer) const {
  const Place& place = impl_->at(weight, layer);
  return impl_->shards[place.file].spec(*place.entry);
}

std::vector<float> Checkpoint::load_f32(Weight weight, std::int64_t layer) const {
  const LoadedTensor loaded = load(weight, layer);
  const ConstTensor stored = loaded.view();
  std::vector<float> values(static_cast<std::size_t>(stored.spec.shape.elements()));
  convert_elements(stored.spec.dtype, stored.data, DType::kF32, values.data(),
                   stored.spec.shape.elements());
  return values;
}

void Checkpoint::read(Weight weight, std::int64_t layer, std::int64_t offset,
                      std::span<std::byte> out) const {
  const Place& place = impl_->at(weight, layer);
  impl_->shards[place.file].read(*place.entry, static_cast<std::uint64_t>(offset), out);
}

void Checkpoint::will_need(Weight weight, std::int64_t layer, std::int64_t offset,
                           std::int64_t bytes) const {
  const Place& place = impl_->at(weight, layer);
  impl_->shards[place.file].will_need(*place.entry, static_cast<std::uint64_t>(offset),
                                      static_cast<std::uint64_t>(bytes));
}

}  // namespace airlock
