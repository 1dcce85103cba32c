// The tensors of a model, in one table: name, shape, use, which models have it, one a layer or one
// in all. Loading, checking, fingerprint, synthesis, the rules of calls and workers read it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "airlock/core/shape.h"
#include "airlock/model/config.h"

namespace airlock {

/// A model's tensors; the rows of the table (tensor_table.cc) say what each is. Layers' matrices
/// travel on the wire by these values: append only, never renumber.
enum class Weight : std::uint8_t {
  kQ = 0,
  kK = 1,
  kV = 2,
  kO = 3,
  kGate = 4,
  kUp = 5,
  kDown = 6,
  kEmbedding = 7,
  kInputNorm = 8,
  kPostAttentionNorm = 9,
  kFinalNorm = 10,
  kLmHead = 11,
};
inline constexpr int kWeightCount = 12;

/// The `layer` of tensors that no layer owns.
inline constexpr int kNoLayer = -1;

/// What a tensor is applied to. A layer's matrices of one use multiply the same rows.
enum class TensorUse : std::uint8_t {
  kTokens,           ///< [vocab, hidden]: one row a token id
  kNorm,             ///< [width] of an RMSNorm
  kAttentionInput,   ///< [outputs, inputs], as all below
  kAttentionOutput,  ///< after the heads
  kMlpInput,
  kMlpOutput,
  kLogits,  ///< after the last norm
};

/// "q", "down", "lm_head", as errors and reports spell it; "unknown" for a value of no tensor.
[[nodiscard]] std::string_view weight_name(Weight weight) noexcept;
/// The name in Hugging Face checkpoints, e.g. "model.layers.3.mlp.up_proj.weight".
[[nodiscard]] std::string tensor_name(Weight weight, std::int64_t layer = kNoLayer);
/// The shape in a model of `config`: [outputs, inputs] of a matrix. Never allocates. Throws
/// Error(kInternal) for a value of no tensor.
[[nodiscard]] Shape weight_shape(const ModelConfig& config, Weight weight);

/// A layer's matrices in forward order: what BatchLinear can name.
[[nodiscard]] std::span<const Weight> layer_matrices() noexcept;
[[nodiscard]] bool is_layer_matrix(unsigned value) noexcept;
/// True if `next` comes right after `weight` among a layer's matrices and multiplies the same rows
/// (k after q, up after gate), so that both can be laid out as one matrix.
[[nodiscard]] bool is_next_to(Weight weight, Weight next) noexcept;

/// Elements of all tensors that a checkpoint of `config` stores: exact for counts below 2^31 and up
/// to ModelConfig::kMaxLayers layers, but 2^63 - 1 at most.
[[nodiscard]] std::int64_t count_elements(const ModelConfig& config) noexcept;

/// A tensor of one model.
struct TensorEntry {
  Weight weight = Weight::kEmbedding;
  std::int64_t layer = kNoLayer;
  TensorUse use = TensorUse::kTokens;
  Shape shape;

  [[nodiscard]] std::string name() const { return tensor_name(weight, layer); }
};

/// The tensors that a checkpoint of one model stores, in forward order: embedding, layer by layer,
/// final norm, LM head (unless tied to the embedding). Immutable; any thread may read it. Nothing
/// here allocates unless it throws: entries are reckoned, not kept.
class TensorTable {
 public:
  explicit TensorTable(const ModelConfig& config);

  [[nodiscard]] std::int64_t size() const noexcept;
  /// The entry at `index` in [0, size()).
  [[nodiscard]] TensorEntry operator[](std::int64_t index) const;
  /// Where the tensor is stored; for one tied to another, where that one is. Throws
  /// Error(kInvalidArgument), naming the tensor, for a layer out of range (kNoLayer where the model
  /// has one in all) or a tensor that the model does not have.
  [[nodiscard]] std::int64_t index_of(Weight weight, std::int64_t layer) const;

  class Iterator {
   public:
    Iterator(const TensorTable& table, std::int64_t index) : table_(&table), index_(index) {}
    TensorEntry operator*() const { return (*table_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const TensorTable* table_;
    std::int64_t index_;
  };
  [[nodiscard]] Iterator begin() const { return {*this, 0}; }
  [[nodiscard]] Iterator end() const { return {*this, size()}; }

 private:
  struct Column {
    std::uint8_t row = 0;  ///< in the table of all models
    Shape shape;
  };
  std::array<Column, kWeightCount> stored_;
  std::array<std::int8_t, kWeightCount> places_;  ///< in stored_, by Weight; -1: not in the model
  int before_ = 0;                                ///< of stored_: those before the layers,
  int in_layer_ = 0;                              ///< those that each layer has,
  int after_ = 0;                                 ///< those after the layers
  std::int64_t layers_ = 0;
};

}  // namespace airlock
