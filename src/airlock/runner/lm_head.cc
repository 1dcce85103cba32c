#include "airlock/runner/lm_head.h"

#include "airlock/core/buffer_pool.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/math/convert.h"

namespace airlock {

struct RunnerLmHead::Impl {
  BufferPool pool;
  Gemm gemm{pool};
  std::int64_t hidden = 0;
  DType compute = DType::kF32;
  WeightMatrix matrix;
  Buffer narrow;  ///< the rows in bf16
};

RunnerLmHead::RunnerLmHead(const Checkpoint& checkpoint, DType dtype)
    : impl_(std::make_unique<Impl>()) {
  const ConstTensor weight = checkpoint.tensor(Weight::kLmHead);
  impl_->hidden = weight.spec.shape[1];
  impl_->compute = dtype == DType::kBF16 && onednn_has_bf16() ? DType::kBF16 : DType::kF32;
  impl_->matrix = prepare_weight(impl_->gemm, weight, impl_->compute);
  if (impl_->matrix.stored.data == nullptr) checkpoint.drop_pages(weight);
}

RunnerLmHead::~RunnerLmHead() = default;

void RunnerLmHead::run(const float* x, std::int64_t rows, float* logits) {
  const void* input = x;
  if (impl_->compute == DType::kBF16) {
    const auto bytes = static_cast<std::size_t>(rows * impl_->hidden) * sizeof(BF16);
    if (impl_->narrow.size() < bytes) impl_->narrow = impl_->pool.acquire(bytes);
    convert_elements(DType::kF32, x, DType::kBF16, impl_->narrow.data(), rows * impl_->hidden);
    input = impl_->narrow.data();
  }
  multiply(impl_->gemm, impl_->pool, input, rows, impl_->matrix, DType::kF32, logits);
}

}  // namespace airlock
