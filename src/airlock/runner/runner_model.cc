#include "airlock/runner/runner_model.h"

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

namespace airlock {

RunnerModel::RunnerModel(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)),
      final_norm_(checkpoint_->load_f32(TensorRole::kFinalNorm)) {
  for (std::int64_t layer = 0; layer < config().layers; ++layer) {
    input_norms_.push_back(checkpoint_->load_f32(TensorRole::kInputNorm, layer));
    post_norms_.push_back(checkpoint_->load_f32(TensorRole::kPostAttentionNorm, layer));
  }
}

const float* RunnerModel::norm(NormWeight weight, int layer) const {
  switch (weight) {
    case NormWeight::kInput:
      return input_norms_.at(static_cast<std::size_t>(layer)).data();
    case NormWeight::kPostAttention:
      return post_norms_.at(static_cast<std::size_t>(layer)).data();
    case NormWeight::kFinal:
      return final_norm_.data();
  }
  fail(ErrorCode::kInternal, "unknown norm {}", static_cast<int>(weight));
}

std::shared_ptr<const LmHeadMatrix> RunnerModel::lm_head(DType dtype) const {
  const std::lock_guard lock(lm_heads_mutex_);
  std::shared_ptr<const LmHeadMatrix>& matrix = lm_heads_[dtype];
  if (!matrix) matrix = load_lm_head(*checkpoint_, dtype);
  return matrix;
}

void RunnerModel::embed(std::span<const std::int64_t> ids, float* out) const {
  const ConstTensor table = checkpoint_->tensor(TensorRole::kEmbedding);
  const std::int64_t hidden = config().hidden;
  const auto row_bytes = static_cast<std::int64_t>(dtype_size(table.spec.dtype)) * hidden;
  for (const std::int64_t id : ids) {
    require(id >= 0 && id < config().vocab, ErrorCode::kInvalidArgument,
            "token id {} is outside the vocabulary of {}", id, config().vocab);
    convert_elements(table.spec.dtype, table.data + id * row_bytes, DType::kF32, out, hidden);
    out += hidden;
  }
}

}  // namespace airlock
