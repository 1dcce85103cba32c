#include "airlock/worker/cpu/linear.h"

namespace airlock {

void linear(CpuContext& context, ConstTensor x, std::span<const WeightMatrix* const> w,
            std::span<const Tensor> outputs) {
  const StagedInput input(context.pool, x, context.compute);
  for (std::size_t i = 0; i < w.size(); ++i) {
    const bool direct = Gemm::can_write(context.compute, outputs[i].spec.dtype);
    StagedOutput output(context.pool, outputs[i], direct);
    multiply(context.gemm, context.pool, input.data(), x.spec.shape[0], *w[i], output.dtype(),
             output.data());
    output.finish();
  }
}

}  // namespace airlock
