#include "airlock/worker/cuda/context.h"

#include <atomic>

#include "airlock/core/log.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

std::int64_t element_size(DType dtype) {
  return static_cast<std::int64_t>(dtype_size(dtype));
}

}  // namespace

DeviceRows DeviceRows::part(RowChunk range) const {
  return {dtype, range.count, columns, data + range.begin * columns * element_size(dtype),
          scales == nullptr ? nullptr : scales + range.begin};
}

Staged::Staged(const Context& context, const TensorSpec& spec) {
  rows_.dtype = spec.dtype;
  rows_.rows = spec.shape.rows();
  rows_.columns = spec.shape.columns();
  rows_.data = context.take(rows_.rows * rows_.columns, spec.dtype);
  if (spec.dtype == DType::kI8) rows_.scales = context.arena.take_array<float>(rows_.rows);
}

std::int64_t Staged::bytes_per_row() const {
  const std::int64_t scale = rows_.scales == nullptr ? 0 : static_cast<std::int64_t>(sizeof(float));
  return rows_.columns * element_size(rows_.dtype) + scale;
}

void Staged::fetch(const Context& context, ConstTensor host, RowChunk range) const {
  const std::int64_t row = rows_.columns * element_size(rows_.dtype);
  const DeviceRows part = rows_.part(range);
  context.transfers.in(host.data + range.begin * row, part.data, range.count * row);
  if (part.scales == nullptr) return;
  constexpr auto kScale = static_cast<std::int64_t>(sizeof(float));
  context.transfers.in(host.data + rows_.rows * row + range.begin * kScale,
                       reinterpret_cast<std::byte*>(part.scales), range.count * kScale);
}

void Staged::send(const Context& context, Tensor host, RowChunk range) const {
  const std::int64_t row = rows_.columns * element_size(rows_.dtype);
  const DeviceRows part = rows_.part(range);
  context.transfers.out(part.data, host.data + range.begin * row, range.count * row);
  if (part.scales == nullptr) return;
  constexpr auto kScale = static_cast<std::int64_t>(sizeof(float));
  context.transfers.out(reinterpret_cast<const std::byte*>(part.scales),
                        host.data + rows_.rows * row + range.begin * kScale, range.count * kScale);
}

Pieces::Pieces(const Context& context, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs, std::int64_t units, std::int64_t grain)
    : context_(context), inputs_(inputs), outputs_(outputs), units_(units), grain_(grain) {
  for (const ConstTensor& input : inputs) staged_inputs_.push_back(Staged(context, input.spec));
  for (const Tensor& output : outputs) staged_outputs_.push_back(Staged(context, output.spec));
}

std::int64_t Pieces::bytes_per_unit() const {
  std::int64_t bytes = 0;
  for (const Tensors& tensors : {staged_inputs_, staged_outputs_}) {
    for (const Staged& tensor : tensors) {
      bytes += tensor.bytes_per_row() * (tensor.rows().rows / units_);
    }
  }
  return bytes;
}

RowChunk Pieces::rows_of(const Staged& tensor, RowChunk units) const {
  const std::int64_t each = tensor.rows().rows / units_;
  return {units.begin * each, units.count * each};
}

Pieces::Parts Pieces::parts_of(const Tensors& tensors, RowChunk units) const {
  Parts parts;
  for (const Staged& tensor : tensors) {
    parts.push_back(tensor.rows().part(rows_of(tensor, units)));
  }
  return parts;
}

Pieces::Parts Pieces::fetch(RowChunk units) const {
  for (int i = 0; i < staged_inputs_.size(); ++i) {
    const Staged& tensor = staged_inputs_[i];
    tensor.fetch(context_, inputs_[static_cast<std::size_t>(i)], rows_of(tensor, units));
  }
  context_.transfers.publish_in();
  return parts_of(staged_inputs_, units);
}

void Pieces::send(RowChunk units) const {
  context_.transfers.publish_out();
  for (int i = 0; i < staged_outputs_.size(); ++i) {
    const Staged& tensor = staged_outputs_[i];
    tensor.send(context_, outputs_[static_cast<std::size_t>(i)], rows_of(tensor, units));
  }
}

void tell_not_recorded(const Gpu& gpu, const Error& error) {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  log_warning("{}: kernels are launched one by one: {}", gpu.label(), error.what());
}

std::byte* converted(const Context& context, const DeviceRows& from, DType dtype) {
  if (from.dtype == dtype) return from.data;
  std::byte* const to = context.take(from.rows * from.columns, dtype);
  convert_rows(context, from, dtype, to);
  return to;
}

void convert_rows(const Context& context, const DeviceRows& from, DType dtype, std::byte* to) {
  ConvertArgs args;
  args.from = from.data;
  args.from_stride = args.to_stride = args.columns = from.columns;
  args.from_scales = from.scales;
  args.to = to;
  args.rows = from.rows;
  launch_convert(args, from.dtype, dtype, context.stream.get());
}

void convert_into(const Context& context, const std::byte* from, DType dtype, std::int64_t stride,
                  const DeviceRows& to) {
  ConvertArgs args;
  args.from = from;
  args.from_stride = stride;
  args.to = to.data;
  args.to_stride = args.columns = to.columns;
  args.to_scales = to.scales;
  args.rows = to.rows;
  launch_convert(args, dtype, to.dtype, context.stream.get());
}

}  // namespace airlock::cuda
