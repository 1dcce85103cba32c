#include "airlock/worker/cpu/matmul.h"

namespace airlock {

void matmul(CpuContext& context, ConstTensor a, ConstTensor b, bool transpose_b, Tensor out) {
  const StagedInput left(context.pool, a, context.compute);
  const StagedInput right(context.pool, b, context.compute);
  StagedOutput output(context.pool, out, Gemm::can_write(context.compute, out.spec.dtype));
  BatchedProduct product;
  product.batch = a.spec.shape[0];
  product.m = a.spec.shape[1];
  product.k = a.spec.shape[2];
  product.n = out.spec.shape[2];
  product.in = context.compute;
  product.out = output.dtype();
  product.transpose_b = transpose_b;
  context.gemm.multiply(product, left.data(), right.data(), output.data());
  output.finish();
}

}  // namespace airlock
