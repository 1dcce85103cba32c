#include "airlock/worker/cuda/int8.h"

#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/layer_layout.h"

namespace airlock::cuda {

DeviceRows quantized(const Context& context, const DeviceRows& from) {
  const std::int64_t stride = row_stride(from.columns, DType::kI8);
  const std::int64_t rows = padded(from.rows, kInt8Tokens);
  if (from.dtype == DType::kI8 && stride == from.columns && rows == from.rows) return from;
  DeviceRows to = from;
  to.dtype = DType::kI8;
  to.data = context.take(rows * stride, DType::kI8);
  if (from.dtype == DType::kI8) {
    const auto columns = static_cast<std::size_t>(from.columns);
    check(cudaMemcpy2DAsync(to.data, static_cast<std::size_t>(stride), from.data, columns, columns,
                            static_cast<std::size_t>(from.rows), cudaMemcpyDeviceToDevice,
                            context.stream.get()),
          "cudaMemcpy2DAsync");
    return to;
  }
  to.scales = context.arena.take_array<float>(from.rows);
  ConvertArgs args;
  args.from = from.data;
  args.from_stride = args.columns = from.columns;
  args.to = to.data;
  args.to_stride = stride;
  args.to_scales = to.scales;
  args.rows = from.rows;
  launch_convert(args, from.dtype, DType::kI8, context.stream.get());
  return to;
}

void multiply_int8(const Context& context, const DeviceRows& x, const MatrixRows& w,
                   std::span<const DeviceRows> outs) {
  const std::int64_t rows = padded(x.rows, kInt8Tokens);
  const std::int64_t columns = padded(w.rows, kInt8Columns);
  SumsArgs args;
  auto* const sums = context.arena.take_array<std::int32_t>(rows * columns);
  context.gemm.multiply(Product::linear(rows, w.stride, columns, DType::kI8, DType::kI8), x.data,
                        w.data, sums, context.stream.get());
  args.sums = sums;
  args.sums_stride = columns;
  args.row_scales = x.scales;
  args.column_scales = w.scales;
  args.rows = x.rows;
  for (const DeviceRows& out : outs) {
    const bool direct = out.dtype != DType::kI8;
    const DType dtype = direct ? out.dtype : DType::kF32;
    std::byte* const to = direct ? out.data : context.take(out.rows * out.columns, dtype);
    args.to = to;
    args.to_stride = args.columns = out.columns;
    launch_scale_sums(args, dtype, context.stream.get());
    if (!direct) convert_into(context, to, dtype, out.columns, out);
    args.sums += out.columns;
    args.column_scales += out.columns;
  }
}

}  // namespace airlock::cuda
