// A Hugging Face Llama checkpoint folder: its configuration and its tensors, all checked at open.
// Both the runner and the worker read their weights through this.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/model/safetensors.h"
#include "airlock/model/tensor_table.h"

namespace airlock {

/// Called on the caller's thread with bytes done and bytes in all; may throw to stop the work.
using ByteProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// One .safetensors file of a checkpoint.
struct CheckpointFile {
  std::string name;  ///< inside the folder
  std::int64_t bytes = 0;
  std::int64_t tensors = 0;  ///< all that it holds, used or not
};

/// An open checkpoint. Immutable, so any thread may read it. Weights stay in the files, which stay
/// open; what is loaded is a copy.
class Checkpoint {
 public:
  /// Opens `dir`/config.json and `dir`/model.safetensors, or the shards that
  /// `dir`/model.safetensors.index.json names, and checks that every tensor the configuration
  /// calls for is there with its shape, in f32, f16 or bf16. A tied model whose lm_head.weight is
  /// stored and differs from its embedding is not tied. Further tensors are Error(kUnsupported)
  /// inside the model's modules, unless a bias of zeros, else ignored.
  /// Throws Error(kNotFound), Error(kIo), Error(kCorruptFile) or Error(kUnsupported), naming the
  /// file and the tensor.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& dir);

  ~Checkpoint();
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  /// As load_config gives it, but for tie_embeddings, see above.
  [[nodiscard]] const ModelConfig& config() const noexcept;
  [[nodiscard]] const TensorTable& table() const noexcept;
  [[nodiscard]] const std::filesystem::path& dir() const noexcept;
  [[nodiscard]] const std::vector<CheckpointFile>& files() const noexcept;
  /// Lines for people: what the files say that is not done as they say it.
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;

  // kLmHead of a tied model is the embedding. All throw as TensorTable::index_of does, and whoever
  // reads Error(kIo) if somebody truncated, replaced or wrote to a file since it was opened.

  /// The tensor as stored, read into memory of its own. Throws Error(kResourceExhausted).
  [[nodiscard]] LoadedTensor load(Weight weight, std::int64_t layer = kNoLayer) const;
  /// What `load` would give, without touching the weights.
  [[nodiscard]] TensorSpec spec(Weight weight, std::int64_t layer = kNoLayer) const;
  /// The tensor converted to f32, e.g. `[hidden]` of a norm.
  [[nodiscard]] std::vector<float> load_f32(Weight weight, std::int64_t layer = kNoLayer) const;
  /// Fills `out` with bytes of the tensor as stored, from `offset`; together at most its bytes.
  void read(Weight weight, std::int64_t layer, std::int64_t offset, std::span<std::byte> out) const;
  /// Asks the system to read these bytes of the tensor ahead.
  void will_need(Weight weight, std::int64_t layer, std::int64_t offset, std::int64_t bytes) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace airlock
