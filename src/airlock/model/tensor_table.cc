#include "airlock/model/tensor_table.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "airlock/core/error.h"

namespace airlock {
namespace {

/// A dimension, as a number of the configuration.
enum class Extent : std::uint8_t { kNone, kVocab, kHidden, kQueries, kKeys, kFfn };
using enum Extent;
using enum TensorUse;
using enum Weight;

/// Which models store a tensor.
enum class Stored : std::uint8_t { kAlways, kUnlessTied };

struct Row {
  Weight weight;
  std::string_view name;         ///< in errors and reports
  std::string_view tensor_name;  ///< in checkpoints; {} is the layer
  TensorUse use;
  std::array<Extent, 2> dims;
  Stored stored = Stored::kAlways;
  std::optional<Weight> tied_to = std::nullopt;  ///< what stands in where it is not stored

  [[nodiscard]] constexpr bool per_layer() const {
    return tensor_name.find("{}") != std::string_view::npos;
  }
  [[nodiscard]] constexpr bool is_layer_matrix() const { return per_layer() && use != kNorm; }
};

/// In forward order, in which checkpoints are written and fingerprints taken.
constexpr std::array<Row, kWeightCount> kRows = {{
    {kEmbedding, "embedding", "model.embed_tokens.weight", kTokens, {kVocab, kHidden}},
    {kInputNorm, "input_norm", "model.layers.{}.input_layernorm.weight", kNorm, {kHidden}},
    {kQ, "q", "model.layers.{}.self_attn.q_proj.weight", kAttentionInput, {kQueries, kHidden}},
    {kK, "k", "model.layers.{}.self_attn.k_proj.weight", kAttentionInput, {kKeys, kHidden}},
    {kV, "v", "model.layers.{}.self_attn.v_proj.weight", kAttentionInput, {kKeys, kHidden}},
    {kO, "o", "model.layers.{}.self_attn.o_proj.weight", kAttentionOutput, {kHidden, kQueries}},
    {kPostAttentionNorm,
     "post_attention_norm",
     "model.layers.{}.post_attention_layernorm.weight",
     kNorm,
     {kHidden}},
    {kGate, "gate", "model.layers.{}.mlp.gate_proj.weight", kMlpInput, {kFfn, kHidden}},
    {kUp, "up", "model.layers.{}.mlp.up_proj.weight", kMlpInput, {kFfn, kHidden}},
    {kDown, "down", "model.layers.{}.mlp.down_proj.weight", kMlpOutput, {kHidden, kFfn}},
    {kFinalNorm, "final_norm", "model.norm.weight", kNorm, {kHidden}},
    {kLmHead,
     "lm_head",
     "lm_head.weight",
     kLogits,
     {kVocab, kHidden},
     Stored::kUnlessTied,
     kEmbedding},
}};

/// Rows by Weight.
constexpr std::array<std::uint8_t, kWeightCount> kRowOf = [] {
  std::array<std::uint8_t, kWeightCount> rows{};
  rows.fill(kWeightCount);
  for (std::uint8_t i = 0; i < kWeightCount; ++i) {
    rows[static_cast<std::size_t>(kRows[i].weight)] = i;
  }
  return rows;
}();
static_assert(std::ranges::find(kRowOf, kWeightCount) == kRowOf.end(), "a Weight without a row");

constexpr bool kLayersAreOneRun = [] {
  const auto first = std::ranges::find_if(kRows, &Row::per_layer);
  const auto last =
      std::find_if_not(first, kRows.end(), [](const Row& r) { return r.per_layer(); });
  return std::none_of(last, kRows.end(), [](const Row& row) { return row.per_layer(); });
}();
static_assert(kLayersAreOneRun, "a row between those of layers that no layer owns");

constexpr auto kMatrixCount =
    static_cast<std::size_t>(std::ranges::count_if(kRows, &Row::is_layer_matrix));
constexpr std::array<Weight, kMatrixCount> kLayerMatrices = [] {
  std::array<Weight, kMatrixCount> matrices{};
  std::size_t count = 0;
  for (const Row& row : kRows) {
    if (row.is_layer_matrix()) matrices[count++] = row.weight;
  }
  return matrices;
}();

/// Nothing for a value of no tensor.
const Row* find_row(unsigned value) noexcept {
  return value < kRowOf.size() ? &kRows[kRowOf[value]] : nullptr;
}

const Row& row_of(Weight weight) {
  const Row* row = find_row(static_cast<unsigned>(weight));
  require(row != nullptr, ErrorCode::kInternal, "no tensor has the number {}",
          static_cast<unsigned>(weight));
  return *row;
}

std::int64_t extent(const ModelConfig& config, Extent which) noexcept {
  switch (which) {
    case kNone:
      break;
    case kVocab:
      return config.vocab;
    case kHidden:
      return config.hidden;
    case kQueries:
      return config.q_dim();
    case kKeys:
      return config.kv_dim();
    case kFfn:
      return config.ffn;
  }
  return 1;
}

Shape shape_of(const ModelConfig& config, const Row& row) {
  const std::array dims = {extent(config, row.dims[0]), extent(config, row.dims[1])};
  return Shape(std::span(dims).first(row.dims[1] == kNone ? 1 : 2));
}

bool is_stored(const ModelConfig& config, const Row& row) noexcept {
  return row.stored == Stored::kAlways || !config.tie_embeddings;
}

}  // namespace

std::string_view weight_name(Weight weight) noexcept {
  const Row* row = find_row(static_cast<unsigned>(weight));
  return row != nullptr ? row->name : "unknown";
}

std::string tensor_name(Weight weight, std::int64_t layer) {
  return fmt::format(fmt::runtime(row_of(weight).tensor_name), layer);
}

Shape weight_shape(const ModelConfig& config, Weight weight) {
  return shape_of(config, row_of(weight));
}

std::span<const Weight> layer_matrices() noexcept {
  return kLayerMatrices;
}

bool is_layer_matrix(unsigned value) noexcept {
  const Row* row = find_row(value);
  return row != nullptr && row->is_layer_matrix();
}

bool is_next_to(Weight weight, Weight next) noexcept {
  const auto found = std::ranges::find(kLayerMatrices, next);
  return found != kLayerMatrices.end() && found != kLayerMatrices.begin() &&
         *(found - 1) == weight && row_of(weight).use == row_of(next).use;
}

std::int64_t count_elements(const ModelConfig& config) noexcept {
  __extension__ using Wide = __int128;  // past 64 bits for absurd configurations
  Wide count = 0;
  for (const Row& row : kRows) {
    if (!is_stored(config, row)) continue;
    const Wide elements = Wide{extent(config, row.dims[0])} * extent(config, row.dims[1]);
    count += row.per_layer() ? config.layers * elements : elements;
  }
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::min(count, kMost));
}

TensorTable::TensorTable(const ModelConfig& config) : layers_(config.layers) {
  places_.fill(-1);
  std::int8_t count = 0;
  for (std::uint8_t i = 0; i < kRows.size(); ++i) {
    const Row& row = kRows[i];
    if (!is_stored(config, row)) continue;
    stored_[static_cast<std::size_t>(count)] = {i, shape_of(config, row)};
    places_[static_cast<std::size_t>(row.weight)] = count++;
    ++(row.per_layer() ? in_layer_ : in_layer_ == 0 ? before_ : after_);
  }
  for (const Row& row : kRows) {
    std::int8_t& place = places_[static_cast<std::size_t>(row.weight)];
    if (place < 0 && row.tied_to) place = places_[static_cast<std::size_t>(*row.tied_to)];
  }
}

std::int64_t TensorTable::size() const noexcept {
  return before_ + in_layer_ * layers_ + after_;
}

TensorEntry TensorTable::operator[](std::int64_t index) const {
  const std::int64_t layered = index - before_;
  std::int64_t place = index;
  std::int64_t layer = kNoLayer;
  if (layered >= in_layer_ * layers_) {
    place -= in_layer_ * (layers_ - 1);
  } else if (layered >= 0) {
    layer = layered / in_layer_;
    place -= in_layer_ * layer;
  }
  const Column& column = stored_[static_cast<std::size_t>(place)];
  const Row& row = kRows[column.row];
  return {row.weight, layer, row.use, column.shape};
}

std::int64_t TensorTable::index_of(Weight weight, std::int64_t layer) const {
  const Row& row = row_of(weight);
  const int place = places_[static_cast<std::size_t>(weight)];
  // fail, not require, whose arguments would build the name each time.
  if (row.per_layer() && (layer < 0 || layer >= layers_)) {
    fail(ErrorCode::kInvalidArgument, "layer {} of tensor {}, expected below {}", layer,
         tensor_name(weight, layer), layers_);
  }
  if (!row.per_layer() && layer != kNoLayer) {
    fail(ErrorCode::kInvalidArgument, "layer {} of tensor {}, which the model has once", layer,
         row.tensor_name);
  }
  if (place < 0) {
    fail(ErrorCode::kInvalidArgument, "the model has no tensor {}", tensor_name(weight, layer));
  }
  if (row.per_layer()) return place + in_layer_ * layer;
  return place < before_ ? place : place + in_layer_ * (layers_ - 1);
}

}  // namespace airlock
