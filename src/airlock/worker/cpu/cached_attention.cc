#include "airlock/worker/cpu/cached_attention.h"

#include <array>
#include <cstdint>

#include "airlock/math/flash_attention.h"
#include "airlock/worker/cpu/linear.h"

namespace airlock {
namespace {

/// What a call's rows and caches have in common: ranges lie one behind the other.
struct Batch {
  std::span<KvCache* const> caches;
  int layer;
  const RowRanges& ranges;

  /// body(cache, range, index of its first row) for each range.
  template <typename Body>
  void each(const Body& body) const {
    std::int64_t first = 0;
    for (int i = 0; i < ranges.size(); ++i) {
      body(*caches[static_cast<std::size_t>(i)], ranges[i], first);
      first += ranges[i].tokens;
    }
  }

  /// Makes room for all rows; no cache has changed if one holds too little.
  void prepare() const {
    each([&](const KvCache& cache, const RowRange& range, std::int64_t) {
      cache.require_rows(layer, range.position);
    });
    each([&](KvCache& cache, const RowRange& range, std::int64_t) {
      cache.prepare(layer, range.position, range.tokens);
    });
  }
};

std::int64_t element_size(DType dtype) {
  return static_cast<std::int64_t>(dtype_size(dtype));
}

/// `count` rows of [rows, columns] from `first` on; not of int8, whose scales lie behind all rows.
ConstTensor rows_of(const ConstTensor& x, std::int64_t first, std::int64_t count) {
  const std::int64_t columns = x.spec.shape[1];
  return {{x.spec.dtype, {count, columns}}, x.data + first * columns * element_size(x.spec.dtype)};
}

/// Attention of `q` over the prepared rows of each range, which it commits.
void attend(CpuContext& context, const Batch& batch, const ConstHeadsView& q, DType out_dtype,
            std::byte* out) {
  const ModelConfig& config = context.config;
  const std::int64_t head_dim = config.head_dim;
  std::array<FlashAttentionArgs, kMaxRanges> all;
  std::size_t count = 0;
  batch.each([&](const KvCache& cache, const RowRange& range, std::int64_t first) {
    FlashAttentionArgs& args = all[count++];
    args.dtype = cache.dtype();
    args.out_dtype = out_dtype;
    args.q = q;
    args.q.data =
        static_cast<const std::byte*>(q.data) + first * q.token_stride * element_size(args.dtype);
    args.k = {cache.keys(batch.layer), head_dim, cache.head_stride(batch.layer)};
    args.v = {cache.values(batch.layer), head_dim, cache.head_stride(batch.layer)};
    args.out = {out + first * config.q_dim() * element_size(out_dtype), config.q_dim(), head_dim};
    args.tokens = range.tokens;
    args.position = range.position;
    args.heads = config.heads;
    args.kv_heads = config.kv_heads;
    args.head_dim = head_dim;
    args.scale = config.attention_scale();
  });
  flash_attention(std::span(all).first(count), context.pool);
  batch.each([&](KvCache& cache, const RowRange& range, std::int64_t) {
    cache.commit(batch.layer, range.tokens);
  });
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

void cached_attention(CpuContext& context, std::span<KvCache* const> caches, int layer,
                      const RowRanges& ranges, ConstTensor q, ConstTensor k, ConstTensor v,
                      Tensor out) {
  const Batch batch{caches, layer, ranges};
  batch.prepare();
  {
    const auto widened = [](const StagedInput& input, const ConstTensor& from) {
      return ConstTensor{{cacheable(from.spec.dtype), from.spec.shape},
                         static_cast<const std::byte*>(input.data())};
    };
    const StagedInput keys(context.pool, k, cacheable(k.spec.dtype));
    const StagedInput values(context.pool, v, cacheable(v.spec.dtype));
    batch.each([&](KvCache& cache, const RowRange& range, std::int64_t first) {
      cache.write_keys(layer, rows_of(widened(keys, k), first, range.tokens));
      cache.write_values(layer, rows_of(widened(values, v), first, range.tokens));
    });
  }
  const StagedInput queries(context.pool, q, context.compute);
  const DType reply = out.spec.dtype;
  StagedOutput output(context.pool, out, reply == DType::kF32 || reply == DType::kBF16);
  attend(context, batch, {queries.data(), context.config.q_dim(), context.config.head_dim},
         output.dtype(), static_cast<std::byte*>(output.data()));
  output.finish();
}

void attention_block(CpuContext& context, const CpuWeights& weights,
                     std::span<KvCache* const> caches, int layer, const RowRanges& ranges,
                     ConstTensor x, Tensor out) {
  const ModelConfig& config = context.config;
  const std::int64_t tokens = x.spec.shape[0];
  const DType compute = context.compute;
  const Batch batch{caches, layer, ranges};
  batch.prepare();

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
    batch.each([&](KvCache& cache, const RowRange& range, std::int64_t first) {
      rotate(context, q.as<float>() + first * config.q_dim(), range.tokens, config.heads,
             range.position, queries.data(), tokens * config.head_dim, first);
      rotate(context, k.as<float>() + first * config.kv_dim(), range.tokens, config.kv_heads,
             range.position, cache.keys(layer), cache.head_stride(layer), range.position);
      cache.write_values(layer, rows_of(outputs[2], first, range.tokens));
    });
  }

  const Buffer attended = context.acquire(tokens * config.q_dim(), compute);
  attend(context, batch, {queries.data(), config.head_dim, tokens * config.head_dim}, compute,
         attended.data());
  const WeightMatrix* const o[] = {&weights.at(layer, Weight::kO)};
  linear(context, {{compute, {tokens, config.q_dim()}}, attended.data()}, o, {&out, 1});
}

}  // namespace airlock
