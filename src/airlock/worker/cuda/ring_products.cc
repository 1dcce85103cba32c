#include <algorithm>
#include <array>
#include <cstring>

#include "airlock/core/threads.h"
#include "airlock/math/field_random.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/operators.h"
#include "airlock/worker/cuda/ring_layout.h"

namespace airlock::cuda {
namespace {

/// `count` of the call's weights from `first` on, which are neighbours.
MatrixRows ring_matrix(const DeviceWeights& weights, const Call& call, int first, int count) {
  if (call.weights[first] == Weight::kLmHead) return weights.lm_head();
  return weights.at(call.layer, call.weights[first], call.weights[first + count - 1]);
}

/// outs [rows, ...], side by side the columns of x w^T mod p, for x in digits of `shape`.
void multiply_digits(const Context& context, const DeviceRows& x, const std::byte* digits,
                     const MatrixRows& w, std::span<const DeviceRows> outs) {
  const Arena::Mark mark(context.arena);
  const RingShape shape(x.dtype, x.rows, w.in, w.rows);
  auto* const sums = context.arena.take_array<std::int32_t>(shape.sum_count());
  context.gemm.multiply(
      Product::linear(shape.rows, shape.stride, shape.columns, DType::kI8, DType::kI8), digits,
      w.data, sums, context.stream.get());
  RecombineArgs args;
  args.sums = sums;
  args.sums_stride = shape.columns;
  args.weight_sums = w.sums;
  args.rows = x.rows;
  for (const DeviceRows& out : outs) {
    args.to = out.data;
    args.columns = out.columns;
    launch_recombine(args, x.dtype, out.dtype, context.stream.get());
    args.sums += out.columns;
    args.weight_sums += out.columns;
  }
}

/// outs: products of dense x, kRing or kI16, with each of the call's weights.
void multiply_exactly(const Context& context, const DeviceWeights& weights, const Call& call,
                      const DeviceRows& x, std::span<const DeviceRows> outs) {
  const RingShape shape(x.dtype, x.rows, x.columns, 0);
  std::byte* const digits = context.take(shape.digit_bytes(), DType::kI8);
  DigitsArgs args;
  args.x = x.data;
  args.digits = reinterpret_cast<std::int8_t*>(digits);
  args.digits_stride = shape.stride;
  args.rows = x.rows;
  args.columns = x.columns;
  launch_digits(args, x.dtype, context.stream.get());
  for (int first = 0; first < call.weights.size();) {
    const int count = adjacent_run(call.weights, first);
    multiply_digits(context, x, digits, ring_matrix(weights, call, first, count),
                    outs.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    first += count;
  }
}

}  // namespace

void ring_linear(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                 Outputs out) {
  const ConstTensor& x = in[0];
  const Pieces pieces(context, in, out, x.spec.shape[0], ring_grain(x.spec.dtype));
  pieces.run([&](RowChunk, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    multiply_exactly(context, weights, call, inputs[0], outputs.span());
  });
}

void pad_product(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                 Outputs out) {
  FieldSeed seed;
  std::memcpy(seed.data(), in[0].data, seed.size());
  const RowRange& range = call.ranges[0];
  const std::int64_t columns = ring_matrix(weights, call, 0, 1).in;
  const Staged pad(context, {DType::kRing, {range.tokens, columns}});
  const Pieces pieces(context, {}, out, range.tokens, ring_grain(DType::kRing));
  // Not for replay: a piece makes rows on the host.
  pieces.run([&](RowChunk rows, const Pieces::Parts&, const Pieces::Parts& outputs) {
    const DeviceRows x = pad.rows().part(rows);
    const auto make = [&](std::int64_t first, std::int64_t count, std::byte* memory) {
      auto* const to = reinterpret_cast<std::uint32_t*>(memory);
      parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t row = range.position + rows.begin + first + i;
          expand_field_row(seed, static_cast<std::uint64_t>(row),
                           {to + i * columns, static_cast<std::size_t>(columns)});
        }
      });
    };
    context.transfers.make_in(x.data, pad.bytes_per_row(), rows.count, make);
    context.transfers.publish_in();
    multiply_exactly(context, weights, call, x, outputs.span());
  });
}

}  // namespace airlock::cuda
