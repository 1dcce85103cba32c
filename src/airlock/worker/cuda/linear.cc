#include <algorithm>

#include "airlock/worker/cuda/int8.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/operators.h"

namespace airlock::cuda {

DeviceRows multiplied(const Context& context, const DeviceRows& from) {
  if (context.linear == DType::kI8) return quantized(context, from);
  DeviceRows to = from;
  to.data = converted(context, from, context.linear);
  to.dtype = context.linear;
  to.scales = nullptr;
  return to;
}

void multiply(const Context& context, const DeviceRows& x, const MatrixRows& w,
              std::span<const DeviceRows> outs) {
  if (x.dtype == DType::kI8) return multiply_int8(context, x, w, outs);
  const DType compute = x.dtype;
  const std::int64_t rows = x.rows;
  if (outs.size() == 1 && Gemm::can_write(compute, outs[0].dtype)) {
    return context.gemm.multiply(Product::linear(rows, w.in, w.rows, compute, outs[0].dtype),
                                 x.data, w.data, outs[0].data, context.stream.get());
  }
  const bool narrow =
      std::ranges::all_of(outs, [&](const DeviceRows& out) { return out.dtype == compute; });
  const DType dtype = narrow ? compute : DType::kF32;
  std::byte* const all = context.take(rows * w.rows, dtype);
  context.gemm.multiply(Product::linear(rows, w.in, w.rows, compute, dtype), x.data, w.data, all,
                        context.stream.get());
  std::int64_t column = 0;
  for (const DeviceRows& out : outs) {
    convert_into(context, all + column * static_cast<std::int64_t>(dtype_size(dtype)), dtype,
                 w.rows, out);
    column += out.columns;
  }
}

void batch_linear(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                  Outputs out) {
  const Pieces pieces(context, in, out, in[0].spec.shape[0]);
  pieces.run([&](RowChunk, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    const DeviceRows x = multiplied(context, inputs[0]);
    for (int first = 0; first < call.weights.size();) {
      const int count = adjacent_run(call.weights, first);
      const MatrixRows w =
          weights.at(call.layer, call.weights[first], call.weights[first + count - 1]);
      multiply(
          context, x, w,
          outputs.span().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
      first += count;
    }
  });
}

void lm_head(const Context& context, const DeviceWeights& weights, Inputs in, Outputs out) {
  const Pieces pieces(context, in, out, in[0].spec.shape[0]);
  pieces.run([&](RowChunk, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    const DeviceRows x = multiplied(context, inputs[0]);
    multiply(context, x, weights.lm_head(), outputs.span());
  });
}

void gated_mlp(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
               Outputs out) {
  const std::int64_t ffn = context.config.ffn;
  const DType compute = context.compute;
  const Pieces pieces(context, in, out, in[0].spec.shape[0]);
  pieces.run([&](RowChunk rows, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    const DeviceRows x = multiplied(context, inputs[0]);
    const DeviceRows gate_up{compute, rows.count, 2 * ffn,
                             context.take(rows.count * 2 * ffn, compute), nullptr};
    multiply(context, x, weights.at(call.layer, Weight::kGate, Weight::kUp), {&gate_up, 1});
    const DeviceRows gated{compute, rows.count, ffn, context.take(rows.count * ffn, compute),
                           nullptr};
    launch_silu_mul({gate_up.data, gated.data, rows.count, ffn}, compute, context.stream.get());
    multiply(context, multiplied(context, gated), weights.at(call.layer, Weight::kDown),
             outputs.span());
  });
}

void matmul(const Context& context, const Call& call, Inputs in, Outputs out) {
  const DType compute = context.compute;
  Product product;
  product.m = in[0].spec.shape[1];
  product.k = in[0].spec.shape[2];
  product.n = out[0].spec.shape[2];
  product.in = compute;
  product.transpose_b = call.transpose_b;
  product.a = {product.k, product.m * product.k};
  product.b = {call.transpose_b ? product.k : product.n, product.k * product.n};
  product.c = {product.n, product.m * product.n};
  const bool direct = Gemm::can_write(compute, out[0].spec.dtype);
  product.out = direct ? out[0].spec.dtype : DType::kF32;
  const Pieces pieces(context, in, out, in[0].spec.shape[0], 1);
  pieces.run([&](RowChunk batch, const Pieces::Parts& inputs, const Pieces::Parts& outputs) {
    product.batch = batch.count;
    const std::byte* const a = converted(context, inputs[0], compute);
    const std::byte* const b = converted(context, inputs[1], compute);
    const DeviceRows& to = outputs[0];
    std::byte* const c = direct ? to.data : context.take(to.rows * to.columns, DType::kF32);
    context.gemm.multiply(product, a, b, c, context.stream.get());
    if (!direct) convert_into(context, c, DType::kF32, to.columns, to);
  });
}

}  // namespace airlock::cuda
