#include "airlock/runner/runner_model.h"

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

namespace airlock {

RunnerModel::RunnerModel(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)), final_norm_(checkpoint_->load_f32(Weight::kFinalNorm)) {
  for (std::int64_t layer = 0; layer < config().layers; ++layer) {
    input_norms_.push_back(checkpoint_->load_f32(Weight::kInputNorm, layer));
    post_norms_.push_back(checkpoint_->load_f32(Weight::kPostAttentionNorm, layer));
  }
}

const float* RunnerModel::input_norm(int layer) const {
  return input_norms_.at(static_cast<std::size_t>(layer)).data();
}

const float* RunnerModel::post_norm(int layer) const {
  return post_norms_.at(static_cast<std::size_t>(layer)).data();
}

void RunnerModel::embed(std::span<const std::int64_t> ids, float* out) const {
  const ConstTensor table = checkpoint_->tensor(Weight::kEmbedding);
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
