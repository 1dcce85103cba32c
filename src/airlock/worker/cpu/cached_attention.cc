#include "airlock/worker/cpu/cached_attention.h"

#include "airlock/math/flash_attention.h"
#include "airlock/worker/cpu/linear.h"

namespace airlock {
namespace {

/// Attention of `q` over the rows of `layer` including `tokens` prepared ones, which it commits.
void attend(CpuContext& context, KvCache& cache, int layer, std::int64_t tokens, ConstHeadsView q,
            DType out_dtype, void* out) {
  const ModelConfig& config = context.config;
  const std::int64_t head_dim = config.head_dim;
  FlashAttentionArgs args;
  args.dtype = cache.dtype();
  args.out_dtype = out_dtype;
  args.q = q;
  args.k = {cache.keys(layer), head_dim, cache.head_stride(layer)};
  args.v = {cache.values(layer), head_dim, cache.head_stride(layer)};
  args.out = {out, config.q_dim(), head_dim};
  args.tokens = tokens;
  args.position = cache.rows(layer);
  args.heads = config.heads;
  args.kv_heads = config.kv_heads;
  args.head_dim = head_dim;
  args.scale = config.attention_scale();
  flash_attention(args, context.pool);
  cache.commit(layer, tokens);
}

/// int8 rows carry their scales apart, so they are widened before heads are split from them.
DType cacheable(DType dtype) {
  return dtype == DType::kI8 ? DType::kF32 : dtype;
}

/// RoPE of `x` [tokens, heads * head_dim] f32 into head-major `to` of the compute dtype.
void rotate(const CpuContext& context, const float* x, std::int64_t tokens, std::int64_t heads,
            std::int64_t position, void* to, std::int64_t head_stride, std::int64_t first_row) {
  if (context.compute == DType::kBF16) {
    context.rope.apply_to_heads(x, tokens, heads, position, static_cast<BF16*>(to), head_stride,
                                first_row);
  } else {
    context.rope.apply_to_heads(x, tokens, heads, position, static_cast<float*>(to), head_stride,
                                first_row);
  }
}

}  // namespace

void cached_attention(CpuContext& context, KvCache& cache, int layer, std::int64_t position,
                      ConstTensor q, ConstTensor k, ConstTensor v, Tensor out) {
  const std::int64_t tokens = q.spec.shape[0];
  cache.prepare(layer, position, tokens);
  {
    const DType k_dtype = cacheable(k.spec.dtype);
    const DType v_dtype = cacheable(v.spec.dtype);
    const StagedInput keys(context.pool, k, k_dtype);
    const StagedInput values(context.pool, v, v_dtype);
    const auto as_tensor = [](const StagedInput& input, DType dtype, const Shape& shape) {
      return ConstTensor{{dtype, shape}, static_cast<const std::byte*>(input.data())};
    };
    cache.write_keys(layer, as_tensor(keys, k_dtype, k.spec.shape));
    cache.write_values(layer, as_tensor(values, v_dtype, v.spec.shape));
  }
  const StagedInput queries(context.pool, q, context.compute);
  const DType reply = out.spec.dtype;
  StagedOutput output(context.pool, out, reply == DType::kF32 || reply == DType::kBF16);
  attend(context, cache, layer, tokens,
         {queries.data(), context.config.q_dim(), context.config.head_dim}, output.dtype(),
         output.data());
  output.finish();
}

void attention_block(CpuContext& context, const CpuWeights& weights, KvCache& cache, int layer,
                     std::int64_t position, ConstTensor x, Tensor out) {
  const ModelConfig& config = context.config;
  const std::int64_t tokens = x.spec.shape[0];
  const DType compute = context.compute;
  cache.prepare(layer, position, tokens);

  const Buffer queries = context.acquire(tokens * config.q_dim(), compute);
  {
    const TensorSpec wide{DType::kF32, {tokens, config.q_dim()}};
    const TensorSpec narrow{DType::kF32, {tokens, config.kv_dim()}};
    const Buffer q = context.acquire(tokens * config.q_dim(), DType::kF32);
    const Buffer k = context.acquire(tokens * config.kv_dim(), DType::kF32);
    const Buffer v = context.acquire(tokens * config.kv_dim(), DType::kF32);
    const WeightMatrix* const matrices[] = {&weights.at(layer, Weight::kQ),
                                            &weights.at(layer, Weight::kK),
                                            &weights.at(layer, Weight::kV)};
    const Tensor outputs[] = {{wide, q.data()}, {narrow, k.data()}, {narrow, v.data()}};
    linear(context, x, matrices, outputs);
    rotate(context, q.as<float>(), tokens, config.heads, position, queries.data(),
           tokens * config.head_dim, 0);
    rotate(context, k.as<float>(), tokens, config.kv_heads, position, cache.keys(layer),
           cache.head_stride(layer), position);
    cache.write_values(layer, outputs[2]);
  }

  const Buffer attended = context.acquire(tokens * config.q_dim(), compute);
  attend(context, cache, layer, tokens, {queries.data(), config.head_dim, tokens * config.head_dim},
         compute, attended.data());
  const WeightMatrix* const o[] = {&weights.at(layer, Weight::kO)};
  linear(context, {{compute, {tokens, config.q_dim()}}, attended.data()}, o, {&out, 1});
}

}  // namespace airlock
