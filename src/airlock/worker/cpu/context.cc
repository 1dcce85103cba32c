#include "airlock/worker/cpu/context.h"

#include "airlock/math/convert.h"

namespace airlock {

Buffer CpuContext::acquire(std::int64_t count, DType dtype) const {
  return pool.acquire(static_cast<std::size_t>(count) * dtype_size(dtype));
}

StagedInput::StagedInput(const BufferPool& pool, ConstTensor tensor, DType dtype)
    : data_(tensor.data) {
  if (tensor.spec.dtype == dtype) return;
  const TensorSpec spec{dtype, tensor.spec.shape};
  copy_ = pool.acquire(static_cast<std::size_t>(spec.bytes()));
  convert(tensor, {spec, copy_.data()});
  data_ = copy_.data();
}

StagedOutput::StagedOutput(const BufferPool& pool, Tensor target, bool direct)
    : target_(target), staged_(target) {
  if (direct) return;
  staged_.spec.dtype = DType::kF32;
  buffer_ = pool.acquire(static_cast<std::size_t>(staged_.bytes()));
  staged_.data = buffer_.data();
}

void StagedOutput::finish() {
  if (staged_.data != target_.data) convert(staged_, target_);
}

}  // namespace airlock
