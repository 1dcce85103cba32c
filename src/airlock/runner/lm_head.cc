#include "airlock/runner/lm_head.h"

#include "airlock/core/buffer_pool.h"
#include "airlock/math/convert.h"
#include "airlock/worker/cpu/gemm.h"

namespace airlock {

struct RunnerLmHead::Impl {
  BufferPool pool;
  Gemm gemm{pool};
  PackedMatrix matrix;
  Buffer narrow;  ///< the rows in bf16
};

RunnerLmHead::RunnerLmHead(const Checkpoint& checkpoint, DType dtype)
    : impl_(std::make_unique<Impl>()) {
  const ConstTensor weight = checkpoint.tensor(TensorRole::kLmHead);
  const bool narrow = dtype == DType::kBF16 && onednn_has_bf16();
  impl_->matrix = impl_->gemm.pack(weight, narrow ? DType::kBF16 : DType::kF32);
  checkpoint.drop_pages(weight);
}

RunnerLmHead::~RunnerLmHead() = default;

void RunnerLmHead::run(const float* x, std::int64_t rows, float* logits) {
  const PackedMatrix& matrix = impl_->matrix;
  const void* input = x;
  if (matrix.dtype == DType::kBF16) {
    const auto bytes = static_cast<std::size_t>(rows * matrix.in) * sizeof(BF16);
    if (impl_->narrow.size() < bytes) impl_->narrow = impl_->pool.acquire(bytes);
    convert_elements(DType::kF32, x, DType::kBF16, impl_->narrow.data(), rows * matrix.in);
    input = impl_->narrow.data();
  }
  impl_->gemm.multiply(input, rows, matrix, DType::kF32, logits);
}

}  // namespace airlock
