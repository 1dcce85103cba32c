// What the GPU's operators share, and a call's tensors on their way through the device.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "airlock/core/error.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/ops/call.h"
#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/gemm.h"
#include "airlock/worker/cuda/gpu.h"
#include "airlock/worker/cuda/graph.h"
#include "airlock/worker/cuda/replay_table.h"
#include "airlock/worker/cuda/row_chunks.h"
#include "airlock/worker/cuda/transfers.h"

namespace airlock::cuda {

/// What a call is recorded under, and where its kernels find its position.
struct ReplayedCall {
  ReplayTable<Graph>& table;
  ReplayKey key;  ///< but for the memory
  const std::int64_t* position = nullptr;
};

/// One backend's tools. Not thread-safe.
struct Context {
  const ModelConfig& config;
  const Gpu& gpu;
  DType linear;          ///< of products with weights: int8, or as `compute`
  DType compute;         ///< of everything else: f32, bf16 or f16
  const Stream& stream;  ///< of kernels
  Arena& arena;
  Transfers& transfers;
  Gemm& gemm;
  const double* frequencies;               ///< of RoPE, [head_dim / 2] on the device
  const ReplayedCall* replayed = nullptr;  ///< null: kernels are launched one by one

  /// Memory for `count` elements of `dtype`.
  [[nodiscard]] std::byte* take(std::int64_t count, DType dtype) const {
    return arena.take(count * static_cast<std::int64_t>(dtype_size(dtype)));
  }
  /// Of the call, on the device; null: kernels are told it.
  [[nodiscard]] const std::int64_t* position_at() const noexcept {
    return replayed == nullptr ? nullptr : replayed->position;
  }
};

/// A warning, the first time.
void tell_not_recorded(const Gpu& gpu, const Error& error);

/// What `body` enqueues on the context's stream, recorded; nothing, which is told, if CUDA does not
/// record it.
template <typename Body>
std::optional<Graph> recorded(const Context& context, const Body& body) {
  const Arena::Mark mark(context.arena);
  try {
    return Graph::record(context.stream, body);
  } catch (const Error& error) {
    tell_not_recorded(context.gpu, error);
    return std::nullopt;
  }
}

/// Enqueues what `body` does, kernels on the context's stream and nothing else: by itself, or as a
/// record of it.
template <typename Body>
void enqueue_kernels(const Context& context, const Body& body) {
  const std::span<const std::byte> memory = context.arena.whole();
  if (context.replayed == nullptr || memory.empty()) return body();
  ReplayKey key = context.replayed->key;
  key.memory = memory.data();
  key.memory_bytes = memory.size();
  context.replayed->table.enqueue(
      key, body, [&] { return recorded(context, body); },
      [&](const Graph& graph) { graph.launch(context.stream); });
}

/// Dense rows on the device, in a dtype that travels. int8 rows have their scales apart, because
/// behind the elements they would not be aligned.
struct DeviceRows {
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::byte* data = nullptr;
  float* scales = nullptr;  ///< [rows] for int8

  /// Rows of `range` alone.
  [[nodiscard]] DeviceRows part(RowChunk range) const;
};

/// A tensor of a call and its room on the device. Leading dimensions count as rows.
class Staged {
 public:
  Staged() = default;
  Staged(const Context& context, const TensorSpec& spec);

  [[nodiscard]] const DeviceRows& rows() const noexcept { return rows_; }
  /// Bytes that travel for each row.
  [[nodiscard]] std::int64_t bytes_per_row() const;
  /// Enqueues copies of these rows of `host`, all of the tensor, to the device.
  void fetch(const Context& context, ConstTensor host, RowChunk range) const;
  /// Enqueues copies of these rows to `host`, all of the tensor.
  void send(const Context& context, Tensor host, RowChunk range) const;

 private:
  DeviceRows rows_;
};

/// The tensors of a call whose parts compute apart from each other, staged and run piece by piece,
/// so that copies of one piece run beside the kernels of another.
class Pieces {
 public:
  using Parts = InlineList<DeviceRows, kMaxTensors>;

  /// Each tensor's rows belong, in order, to `units` units of equal length; pieces are multiples of
  /// `grain` units. The tensors outlive this.
  Pieces(const Context& context, std::span<const ConstTensor> inputs,
         std::span<const Tensor> outputs, std::int64_t units,
         std::int64_t grain = RowChunks::kGrain);

  /// body(units, inputs' rows of these units, outputs' rows) enqueues the kernels of a piece; what
  /// it takes from the arena is free again after it.
  template <typename Body>
  void run(const Body& body) const {
    const RowChunks chunks(units_, bytes_per_unit(), grain_);
    for (std::int64_t i = 0; i < chunks.count(); ++i) {
      const Arena::Mark mark(context_.arena);
      const Parts inputs = fetch(chunks[i]);
      const Parts outputs = parts_of(staged_outputs_, chunks[i]);
      const auto kernels = [&] { body(chunks[i], inputs, outputs); };
      if (chunks.count() == 1) {
        enqueue_kernels(context_, kernels);
      } else {
        kernels();
      }
      send(chunks[i]);
    }
  }

 private:
  using Tensors = InlineList<Staged, kMaxTensors>;

  [[nodiscard]] std::int64_t bytes_per_unit() const;
  [[nodiscard]] RowChunk rows_of(const Staged& tensor, RowChunk units) const;
  [[nodiscard]] Parts parts_of(const Tensors& tensors, RowChunk units) const;
  [[nodiscard]] Parts fetch(RowChunk units) const;
  void send(RowChunk units) const;

  const Context& context_;
  std::span<const ConstTensor> inputs_;
  std::span<const Tensor> outputs_;
  Tensors staged_inputs_;
  Tensors staged_outputs_;
  std::int64_t units_;
  std::int64_t grain_;
};

/// `from` in `dtype` (a float): its own memory if it is, else a converted copy.
std::byte* converted(const Context& context, const DeviceRows& from, DType dtype);
/// Enqueues the conversion of `from`, dense, to `to` in the float `dtype`.
void convert_rows(const Context& context, const DeviceRows& from, DType dtype, std::byte* to);
/// Enqueues the conversion of rows of `from`, `stride` elements of the float `dtype` apart, to
/// `to`.
void convert_into(const Context& context, const std::byte* from, DType dtype, std::int64_t stride,
                  const DeviceRows& to);

}  // namespace airlock::cuda
