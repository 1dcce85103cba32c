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

/// An open checkpoint. Immutable, so any thread may read it; the views it gives out live as long
/// as it does. Weights stay in the files (mapped), not copied.
class Checkpoint {
 public:
  /// Opens `dir`/config.json and `dir`/model.safetensors, or the shards that
  /// `dir`/model.safetensors.index.json names, and checks that every tensor the configuration
  /// calls for is there with its shape, in f32, f16 or bf16. Further tensors are ignored.
  /// Throws Error(kNotFound), Error(kIo), Error(kCorruptFile) or Error(kUnsupported), naming the
  /// file and the tensor. A file truncated after this raises SIGBUS (see SafetensorsFile).
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& dir);

  ~Checkpoint();
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  [[nodiscard]] const ModelConfig& config() const noexcept;
  [[nodiscard]] const TensorTable& table() const noexcept;
  [[nodiscard]] const std::filesystem::path& dir() const noexcept;
  [[nodiscard]] const std::vector<CheckpointFile>& files() const noexcept;

  /// The tensor, as stored. kLmHead of a tied model is the embedding (a stored lm_head.weight is
  /// then ignored). Throws as TensorTable::index_of does.
  [[nodiscard]] ConstTensor tensor(Weight weight, std::int64_t layer = kNoLayer) const;
  /// What `tensor` would give, without touching the weights.
  [[nodiscard]] TensorSpec spec(Weight weight, std::int64_t layer = kNoLayer) const;
  /// The tensor's bytes inside the mapped file: as `tensor`, but at any alignment.
  [[nodiscard]] std::span<const std::byte> raw(Weight weight, std::int64_t layer = kNoLayer) const;
  /// The tensor converted to f32, e.g. `[hidden]` of a norm. Throws as `tensor` does.
  [[nodiscard]] std::vector<float> load_f32(Weight weight, std::int64_t layer = kNoLayer) const;

  /// Asks the system to read a tensor (or a part of one) ahead, or to take its pages out of this
  /// process's memory once they were used, so that the mapping is not a second copy of the
  /// weights. The view stays valid: reading it again fetches the pages again. Bytes that are not
  /// in the mapping (see SafetensorsFile::tensor on alignment) are left alone.
  void will_need(const ConstTensor& tensor) const;
  void drop_pages(const ConstTensor& tensor) const;
  void will_need(std::span<const std::byte> bytes) const noexcept;
  void drop_pages(std::span<const std::byte> bytes) const noexcept;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace airlock
