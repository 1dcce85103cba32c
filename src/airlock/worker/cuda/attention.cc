#include <algorithm>

#include "airlock/worker/cuda/kernels/attention_mma.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/operators.h"

namespace airlock::cuda {
namespace {

/// body(cache, rows of the piece, their position) for each range that has rows in `piece`.
template <typename Body>
void each_range(const Context& context, std::span<const CacheView> caches, const Call& call,
                RowChunk piece, const Body& body) {
  std::int64_t begin = 0;
  for (int i = 0; i < call.ranges.size(); ++i) {
    const RowRange& range = call.ranges[i];
    const std::int64_t first = std::max(begin, piece.begin);
    const std::int64_t end = std::min(begin + range.tokens, piece.begin + piece.count);
    if (first < end) {
      const Arena::Mark mark(context.arena);
      body(caches[static_cast<std::size_t>(i)], RowChunk{first - piece.begin, end - first},
           range.position + first - begin);
    }
    begin += range.tokens;
  }
}

/// Row `row` of dense rows of `columns` elements.
std::byte* row_of(std::byte* rows, std::int64_t row, std::int64_t columns, DType dtype) {
  return rows + row * columns * static_cast<std::int64_t>(dtype_size(dtype));
}

/// Attention of q [tokens, heads * head_dim] of the compute dtype at `position` over a cache that
/// holds their keys already, to out [tokens, heads * head_dim] in `out_dtype`: f32 or the compute
/// dtype.
void attend(const Context& context, const CacheView& cache, const std::byte* q, std::int64_t tokens,
            std::int64_t position, DType out_dtype, std::byte* out) {
  // Fewer rows than a warp's share leave tensor cores idle, and too few blocks.
  constexpr std::int64_t kLeastMmaTokens = kReplayedTokens;
  const ModelConfig& config = context.config;
  AttentionArgs args;
  args.q = q;
  args.keys = cache.keys;
  args.values = cache.values;
  args.head_stride = cache.head_stride;
  args.out = out;
  args.tokens = static_cast<int>(tokens);
  args.position = static_cast<int>(position);
  args.position_at = context.position_at();
  args.heads = static_cast<int>(config.heads);
  args.kv_heads = static_cast<int>(config.kv_heads);
  args.head_dim = static_cast<int>(config.head_dim);
  args.scale = config.attention_scale();
  const std::int64_t cache_rows = cache.head_stride / config.head_dim;
  if (context.compute != DType::kF32 && tokens >= kLeastMmaTokens && mma_head_dim(args.head_dim)) {
    return launch_mma_attention(args, context.compute, out_dtype, context.stream.get());
  }
  // A replayed grid has to serve every position until the cache grows; what is not replayed has the
  // same one, so that a sequence among others gives what it gives alone.
  const std::int64_t seen = tokens < kReplayedTokens ? cache_rows : position + tokens;
  choose_splits(args, context.gpu.processors(), static_cast<int>(seen));
  if (args.splits > 1) {
    const std::int64_t parts = args.splits * tokens * config.heads;
    args.partial = context.arena.take_array<float>(parts * config.head_dim);
    args.states = context.arena.take_array<AttentionPart>(parts);
  }
  launch_plain_attention(args, context.compute, out_dtype, context.stream.get());
}

/// The products of FusedAttention, over heads that lie side by side in rows of q_dim.
Product scores_product(const Context& context, std::int64_t tokens, std::int64_t rows) {
  const ModelConfig& config = context.config;
  Product product;
  product.batch = config.heads;
  product.m = tokens;
  product.k = config.head_dim;
  product.n = rows;
  product.in = context.compute;
  product.transpose_b = true;
  product.a = product.b = {config.q_dim(), config.head_dim};
  product.c = {rows, tokens * rows};
  return product;
}

Product values_product(const Context& context, std::int64_t tokens, std::int64_t rows, DType out) {
  const ModelConfig& config = context.config;
  Product product;
  product.batch = config.heads;
  product.m = tokens;
  product.k = rows;
  product.n = config.head_dim;
  product.in = context.compute;
  product.out = out;
  product.a = {rows, tokens * rows};
  product.b = product.c = {config.q_dim(), config.head_dim};
  return product;
}

/// Rows of K or V that come piece by piece, in the compute dtype.
class GrowingRows {
 public:
  GrowingRows(const Context& context, ConstTensor host)
      : context_(context),
        host_(host),
        staged_(context, host.spec),
        converted_{context.compute, staged_.rows().rows, staged_.rows().columns,
                   staged_.rows().data, nullptr} {
    if (host.spec.dtype != context.compute) {
      converted_.data = context.take(converted_.rows * converted_.columns, context.compute);
    }
  }

  void fetch(RowChunk range) const { staged_.fetch(context_, host_, range); }
  /// Once they are there: enqueues their conversion, if they need one.
  void convert(RowChunk range) const {
    const DeviceRows from = staged_.rows().part(range);
    if (from.dtype == context_.compute) return;
    convert_rows(context_, from, context_.compute, converted_.part(range).data);
  }
  [[nodiscard]] const std::byte* data() const noexcept { return converted_.data; }
  [[nodiscard]] std::int64_t bytes_per_row() const { return staged_.bytes_per_row(); }

 private:
  const Context& context_;
  ConstTensor host_;
  Staged staged_;
  DeviceRows converted_;
};

/// Scores, softmax and values of a piece's rows `q`, which see `rows` keys at most. `room`: scores
/// of the call's largest piece.
void attend_fused(const Context& context, const std::byte* q, const std::byte* k,
                  const std::byte* v, std::int64_t position, std::int64_t rows, std::int64_t room,
                  const DeviceRows& out) {
  const ModelConfig& config = context.config;
  const DType compute = context.compute;
  // Every piece takes the largest one's memory, or each would find that of those before too small.
  auto* const scores = context.arena.take_array<float>(room);
  context.gemm.multiply(scores_product(context, out.rows, rows), q, k, scores,
                        context.stream.get());
  SoftmaxArgs softmax;
  softmax.scores = scores;
  softmax.weights =
      compute == DType::kF32 ? static_cast<void*>(scores) : context.take(room, compute);
  softmax.heads = config.heads;
  softmax.rows = out.rows;
  softmax.context = rows;
  softmax.position = position;
  softmax.scale = config.attention_scale();
  launch_softmax(softmax, compute, context.stream.get());
  const bool direct = Gemm::can_write(compute, out.dtype);
  std::byte* const to = direct ? out.data : context.take(out.rows * out.columns, DType::kF32);
  const Product values = values_product(context, out.rows, rows, direct ? out.dtype : DType::kF32);
  context.gemm.multiply(values, softmax.weights, v, to, context.stream.get());
  if (!direct) convert_into(context, to, DType::kF32, out.columns, out);
}

}  // namespace

void fused_attention(const Context& context, const Call& call, Inputs in, Outputs out) {
  const Staged q(context, in[0].spec);
  const GrowingRows k(context, in[1]);
  const GrowingRows v(context, in[2]);
  const Staged result(context, out[0].spec);
  const RowChunks chunks(q.rows().rows, q.bytes_per_row() + k.bytes_per_row() + v.bytes_per_row() +
                                            result.bytes_per_row());
  const std::int64_t room =
      context.config.heads * chunks[0].count * (call.ranges[0].position + q.rows().rows);
  std::int64_t have = 0;
  for (std::int64_t i = 0; i < chunks.count(); ++i) {
    const RowChunk rows = chunks[i];
    // A piece's last row sees itself and all before it, and no row sees more.
    const std::int64_t seen = call.ranges[0].position + rows.begin + rows.count;
    const RowChunk fresh{have, seen - have};
    have = seen;
    q.fetch(context, in[0], rows);
    k.fetch(fresh);
    v.fetch(fresh);
    context.transfers.publish_in();
    k.convert(fresh);
    v.convert(fresh);
    const Arena::Mark mark(context.arena);
    attend_fused(context, converted(context, q.rows().part(rows), context.compute), k.data(),
                 v.data(), call.ranges[0].position + rows.begin, seen, room,
                 result.rows().part(rows));
    context.transfers.publish_out();
    result.send(context, out[0], rows);
  }
}

void flash_attention(const Context& context, std::span<const CacheView> caches, const Call& call,
                     Inputs in, Outputs out) {
  const ModelConfig& config = context.config;
  const DType compute = context.compute;
  const Pieces pieces(context, in, out, in[0].spec.shape[0]);
  pieces.run([&](RowChunk piece, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    std::byte* const q = converted(context, inputs[0], compute);
    std::byte* const k = converted(context, inputs[1], compute);
    std::byte* const v = converted(context, inputs[2], compute);
    const DeviceRows& to = outputs[0];
    const bool direct = to.dtype == DType::kF32 || to.dtype == compute;
    const DType dtype = direct ? to.dtype : DType::kF32;
    std::byte* const attended = direct ? to.data : context.take(to.rows * to.columns, dtype);
    const auto attend_range = [&](const CacheView& cache, RowChunk rows, std::int64_t position) {
      AppendArgs append;
      append.k = row_of(k, rows.begin, config.kv_dim(), compute);
      append.v = row_of(v, rows.begin, config.kv_dim(), compute);
      append.cache = cache;
      append.position = position;
      append.position_at = context.position_at();
      append.rows = rows.count;
      append.kv_heads = static_cast<int>(config.kv_heads);
      append.head_dim = static_cast<int>(config.head_dim);
      launch_append(append, compute, context.stream.get());
      attend(context, cache, row_of(q, rows.begin, config.q_dim(), compute), rows.count, position,
             dtype, row_of(attended, rows.begin, config.q_dim(), dtype));
    };
    each_range(context, caches, call, piece, attend_range);
    if (!direct) convert_into(context, attended, DType::kF32, to.columns, to);
  });
}

void attention_block(const Context& context, const DeviceWeights& weights,
                     std::span<const CacheView> caches, const Call& call, Inputs in, Outputs out) {
  const ModelConfig& config = context.config;
  const DType compute = context.compute;
  const std::int64_t half = config.head_dim / 2;
  const Pieces pieces(context, in, out, in[0].spec.shape[0]);
  pieces.run([&](RowChunk piece, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    const DeviceRows x = multiplied(context, inputs[0]);
    const MatrixRows w = weights.at(call.layer, Weight::kQ, Weight::kV);
    const DeviceRows qkv{DType::kF32, piece.count, w.rows,
                         context.take(piece.count * w.rows, DType::kF32), nullptr};
    multiply(context, x, w, {&qkv, 1});
    std::byte* const q = context.take(piece.count * config.q_dim(), compute);
    const DeviceRows attended{compute, piece.count, config.q_dim(),
                              context.take(piece.count * config.q_dim(), compute), nullptr};
    const auto attend_range = [&](const CacheView& cache, RowChunk rows, std::int64_t position) {
      auto* const cosine = context.arena.take_array<float>(rows.count * half);
      auto* const sine = context.arena.take_array<float>(rows.count * half);
      launch_rope_angles(
          {context.frequencies, cosine, sine, position, rows.count, half, context.position_at()},
          context.stream.get());
      std::byte* const queries = row_of(q, rows.begin, config.q_dim(), compute);
      RopeArgs rope;
      rope.qkv = reinterpret_cast<const float*>(qkv.part(rows).data);
      rope.cosine = cosine;
      rope.sine = sine;
      rope.q = queries;
      rope.cache = cache;
      rope.position = position;
      rope.position_at = context.position_at();
      rope.rows = rows.count;
      rope.heads = static_cast<int>(config.heads);
      rope.kv_heads = static_cast<int>(config.kv_heads);
      rope.head_dim = static_cast<int>(config.head_dim);
      launch_rope(rope, compute, context.stream.get());
      attend(context, cache, queries, rows.count, position, compute, attended.part(rows).data);
    };
    each_range(context, caches, call, piece, attend_range);
    multiply(context, multiplied(context, attended), weights.at(call.layer, Weight::kO),
             outputs.span());
  });
}

}  // namespace airlock::cuda
