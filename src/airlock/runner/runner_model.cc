#include "airlock/runner/runner_model.h"

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

namespace airlock {

RunnerModel::RunnerModel(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)), tensors_(config()) {
  norms_.resize(static_cast<std::size_t>(tensors_.size()));
  std::size_t at = 0;
  for (const TensorEntry& entry : tensors_) {
    if (entry.use == TensorUse::kNorm) {
      norms_[at] = checkpoint_->load_f32(entry.weight, entry.layer);
    }
    ++at;
  }
}

const float* RunnerModel::norm(Weight weight, int layer) const {
  return norms_[static_cast<std::size_t>(tensors_.index_of(weight, layer))].data();
}

std::shared_ptr<const LmHeadMatrix> RunnerModel::lm_head(DType dtype) const {
  const std::lock_guard lock(lm_heads_mutex_);
  std::shared_ptr<const LmHeadMatrix>& matrix = lm_heads_[dtype];
  if (!matrix) matrix = load_lm_head(*checkpoint_, dtype);
  return matrix;
}

ConstTensor RunnerModel::embedding() const {
  std::call_once(embedding_once_, [&] { embedding_ = checkpoint_->load(Weight::kEmbedding); });
  return embedding_.view();
}

void RunnerModel::embed(std::span<const std::int64_t> ids, float* out) const {
  const ConstTensor table = embedding();
  const std::int64_t hidden = config().hidden;
  const auto row_bytes = static_cast<std::int64_t>(dtype_size(table.spec.dtype)) * hidden;
  for (const std::int64_t id : ids) {
    convert_elements(table.spec.dtype, table.data + id * row_bytes, DType::kF32, out, hidden);
    out += hidden;
  }
}

}  // namespace airlock
