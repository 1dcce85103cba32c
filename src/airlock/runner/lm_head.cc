#include "airlock/runner/lm_head.h"

#include "airlock/core/buffer_pool.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/math/convert.h"

namespace airlock {

struct LmHeadMatrix {
  std::int64_t hidden = 0;
  DType compute = DType::kF32;
  LoadedTensor stored;  ///< what `weight` reads unless it is packed
  WeightMatrix weight;
};

std::shared_ptr<const LmHeadMatrix> load_lm_head(const Checkpoint& checkpoint, DType dtype) {
  LoadedTensor loaded = checkpoint.load(Weight::kLmHead);
  const ConstTensor weight = loaded.view();
  auto matrix = std::make_shared<LmHeadMatrix>();
  Gemm gemm{BufferPool()};
  matrix->hidden = weight.spec.shape[1];
  matrix->compute = dtype == DType::kBF16 && onednn_has_bf16() ? DType::kBF16 : DType::kF32;
  matrix->weight = prepare_weight(gemm, weight, matrix->compute);
  if (matrix->weight.stored.data != nullptr) matrix->stored = std::move(loaded);
  return matrix;
}

struct RunnerLmHead::Impl {
  std::shared_ptr<const LmHeadMatrix> matrix;
  BufferPool pool;
  Gemm gemm{pool};
  Buffer narrow;  ///< the rows in bf16
};

RunnerLmHead::RunnerLmHead(std::shared_ptr<const LmHeadMatrix> matrix)
    : impl_(std::make_unique<Impl>()) {
  impl_->matrix = std::move(matrix);
}

RunnerLmHead::~RunnerLmHead() = default;

void RunnerLmHead::run(const float* x, std::int64_t rows, float* logits) {
  const LmHeadMatrix& matrix = *impl_->matrix;
  const void* input = x;
  if (matrix.compute == DType::kBF16) {
    const auto bytes = static_cast<std::size_t>(rows * matrix.hidden) * sizeof(BF16);
    if (impl_->narrow.size() < bytes) impl_->narrow = impl_->pool.acquire(bytes);
    convert_elements(DType::kF32, x, DType::kBF16, impl_->narrow.data(), rows * matrix.hidden);
    input = impl_->narrow.data();
  }
  multiply(impl_->gemm, impl_->pool, input, rows, matrix.weight, DType::kF32, logits);
}

}  // namespace airlock
