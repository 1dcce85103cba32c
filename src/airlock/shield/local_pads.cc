#include <algorithm>
#include <memory>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/shield/secret_memory.h"
#include "airlock/shield/stored_pads.h"

namespace airlock {
namespace {

class LocalPads final : public StoredPads {
 public:
  LocalPads(const RingModel& model, const Checkpoint& checkpoint, const PadOptions& options)
      : StoredPads(model, PadRows::kDense, options), secrets_(secret_blocks()) {
    for (const RingGroup& group : model.groups()) {
      for (const Weight weight : group.weights) {
        options.stop.throw_if_stopped();
        const LoadedTensor tensor = checkpoint.load(weight, group.layer);
        try {
          matrices_.push_back(pack_ring_matrix(BufferPool(), tensor.view()));
        } catch (const Error& error) {
          fail(error.code(), "{}: {}", tensor_name(weight, group.layer), error.what());
        }
      }
      first_matrix_.push_back(matrices_.size() - static_cast<std::size_t>(group.weights.size()));
    }
  }

  [[nodiscard]] bool needs_noise() const noexcept override { return false; }

 private:
  void make(const PadBatch& batch) override {
    const RingGroup& group = bank().group(batch.group);
    random().field({batch.input, static_cast<std::size_t>(batch.rows * group.in)});
    const std::size_t first = first_matrix_[static_cast<std::size_t>(batch.group)];
    for (int k = 0; k < group.weights.size(); ++k) {
      ring_multiply(secrets_, matrices_[first + static_cast<std::size_t>(k)], DType::kRing,
                    batch.input, batch.rows, DType::kRing, batch.output[k]);
    }
  }

  std::vector<RingMatrix> matrices_;
  std::vector<std::size_t> first_matrix_;  ///< of each group
  BufferPool secrets_;
};

}  // namespace

std::unique_ptr<PadSource> make_local_pads(const RingModel& model, const Checkpoint& checkpoint,
                                           const PadOptions& options) {
  return std::make_unique<LocalPads>(model, checkpoint, options);
}

}  // namespace airlock
