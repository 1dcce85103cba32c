#include "airlock/worker/cpu/fused_attention.h"

#include "airlock/core/error.h"
#include "airlock/math/convert.h"
#include "airlock/math/softmax.h"

namespace airlock {

void fused_attention(CpuContext& context, ConstTensor q, ConstTensor k, ConstTensor v,
                     std::int64_t position, Tensor out) {
  const std::int64_t heads = context.config.heads;
  const std::int64_t head_dim = context.config.head_dim;
  const std::int64_t tokens = q.spec.shape[0];
  const std::int64_t rows = k.spec.shape[0];
  const DType compute = context.compute;

  const TensorSpec scores_spec{DType::kF32, {heads, tokens, rows}};
  const TensorSpec weights_spec{compute, scores_spec.shape};
  const bool narrow = compute != DType::kF32;
  BatchedProduct mix{.batch = heads, .m = tokens, .k = rows, .n = head_dim};
  mix.in = compute;
  mix.b_token_major = mix.out_token_major = true;
  const std::int64_t bytes =
      scores_spec.bytes() + (narrow ? weights_spec.bytes() : 0) + context.gemm.padding_bytes(mix);
  require(
      bytes <= context.max_scratch_bytes, ErrorCode::kResourceExhausted,
      "FusedAttention of {} tokens over {} needs {} bytes for its scores, the worker allows {}: "
      "use flash attention",
      tokens, rows, bytes, context.max_scratch_bytes);

  const Buffer scores = context.pool.acquire(static_cast<std::size_t>(scores_spec.bytes()));
  {
    const StagedInput left(context.pool, q, compute);
    const StagedInput right(context.pool, k, compute);
    BatchedProduct product{.batch = heads, .m = tokens, .k = head_dim, .n = rows};
    product.in = compute;
    product.transpose_b = true;
    product.a_token_major = product.b_token_major = true;
    context.gemm.multiply(product, left.data(), right.data(), scores.data());
  }
  causal_softmax({scores_spec, scores.data()}, position, context.config.attention_scale());

  const StagedInput weights(context.pool, {scores_spec, scores.data()}, compute);
  const StagedInput right(context.pool, v, compute);
  StagedOutput output(context.pool, out, Gemm::can_write(compute, out.spec.dtype));
  mix.out = output.dtype();
  context.gemm.multiply(mix, weights.data(), right.data(), output.data());
  output.finish();
}

}  // namespace airlock
