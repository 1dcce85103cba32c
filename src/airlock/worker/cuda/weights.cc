#include "airlock/worker/cuda/weights.h"

#include <algorithm>

#include "airlock/math/convert.h"
#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/ring_layout.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {
namespace {

std::int64_t bytes_of(DType dtype) {
  return static_cast<std::int64_t>(dtype_size(dtype));
}
/// Of what a row of int8 has beside its elements: a scale, or a sum.
constexpr std::int64_t kExtraBytes = 4;

/// Converts on the host, piece by piece, while the piece before is on its way.
class Uploader {
 public:
  explicit Uploader(const WeightUse& use) : compute_(use.dtype), ring_(use.ring) {}

  /// Before uploads to `block`: padding of int8 rows is zero.
  void prepare(const DeviceBuffer& block) const {
    if (compute_ != DType::kI8) return;
    check(cudaMemsetAsync(block.data(), 0, static_cast<std::size_t>(block.size()), stream_.get()),
          "cudaMemsetAsync");
  }
  /// tensor [rows, in]; `extras`, a scale or a sum a row, for int8.
  void upload(ConstTensor tensor, std::byte* to, std::byte* extras) {
    if (compute_ == DType::kI8) return quantize(tensor, to, extras);
    const std::int64_t element = bytes_of(compute_);
    const std::int64_t all = tensor.spec.shape.elements();
    const std::int64_t piece = kPiece / element;
    for (std::int64_t begin = 0; begin < all; begin += piece) {
      const Shape shape{std::min(piece, all - begin)};
      const Slot& slot = next_slot();
      convert({{tensor.spec.dtype, shape}, tensor.data + begin * bytes_of(tensor.spec.dtype)},
              {{compute_, shape}, slot.memory.data()});
      copy(to + begin * element, slot.memory.data(), shape[0] * element);
      slot.sent.record(stream_);
    }
  }
  void finish() const { stream_.wait(); }

  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;
  ~Uploader() { stream_.settle(); }  // its work reads the slots

 private:
  static constexpr std::int64_t kPiece = std::int64_t{16} << 20;
  struct Slot {
    PinnedBuffer memory{kPiece};
    Event sent;
  };

  const Slot& next_slot() {
    const Slot& slot = slots_[next_++ % slots_.size()];
    slot.sent.wait();
    return slot;
  }
  void copy(std::byte* to, const std::byte* from, std::int64_t bytes) const {
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                          stream_.get()),
          "cudaMemcpyAsync");
  }

  /// Rows [begin, begin + count) to memory: elements, and where what is beside them lies.
  std::byte* make_rows(ConstTensor tensor, std::int64_t begin, std::int64_t count,
                       std::byte* memory) const {
    const std::int64_t in = tensor.spec.shape[1];
    if (ring_) {
      std::byte* const sums = memory + padded(count * in, kExtraBytes);
      make_ring_rows(tensor, begin, count, reinterpret_cast<std::int8_t*>(memory),
                     reinterpret_cast<std::int32_t*>(sums));
      return sums;
    }
    const Shape shape{count, in};
    convert({{tensor.spec.dtype, shape}, tensor.data + begin * in * bytes_of(tensor.spec.dtype)},
            {{DType::kI8, shape}, memory});
    return memory + count * in;
  }

  void quantize(ConstTensor tensor, std::byte* to, std::byte* extras) {
    const std::int64_t rows = tensor.spec.shape[0];
    const std::int64_t in = tensor.spec.shape[1];
    const std::int64_t stride = row_stride(in, DType::kI8);
    const std::int64_t piece = (kPiece - kExtraBytes) / (in + kExtraBytes);
    for (std::int64_t begin = 0; begin < rows; begin += piece) {
      const std::int64_t count = std::min(piece, rows - begin);
      const Slot& slot = next_slot();
      const std::byte* const beside = make_rows(tensor, begin, count, slot.memory.data());
      check(cudaMemcpy2DAsync(to + begin * stride, static_cast<std::size_t>(stride),
                              slot.memory.data(), static_cast<std::size_t>(in),
                              static_cast<std::size_t>(in), static_cast<std::size_t>(count),
                              cudaMemcpyHostToDevice, stream_.get()),
            "cudaMemcpy2DAsync");
      copy(extras + begin * kExtraBytes, beside, count * kExtraBytes);
      slot.sent.record(stream_);
    }
  }

  DType compute_;
  bool ring_;
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
  Stream stream_;
};

}  // namespace

DeviceWeights::DeviceWeights(WeightSource& source, const WeightUse& use, MemoryBudget& budget,
                             const std::function<void(std::int64_t, std::int64_t)>& progress,
                             const StopToken& stop)
    : config_(source.config()),
      use_(use),
      layout_(layer_layout(config_, use.dtype)),
      head_layout_(head_layout(config_, use.dtype)) {
  const std::int64_t total = matrix_bytes(source);
  Uploader uploader(use);
  std::int64_t done = 0;
  const auto block_of = [&](std::int64_t bytes) {
    DeviceBuffer block(budget, bytes);
    uploader.prepare(block);
    bytes_ += bytes;
    return block;
  };
  const auto take = [&](Weight weight, int layer, std::byte* to, std::byte* extras) {
    stop.throw_if_stopped();
    const ConstTensor tensor = checked_tensor(source, weight, layer);
    uploader.upload(tensor, to, extras);
    source.release(tensor);
    done += tensor.bytes();
    if (progress) progress(done, total);
  };

  lm_head_ = block_of(head_layout_.bytes);
  take(Weight::kLmHead, kNoLayer, lm_head_.data(), lm_head_.data() + head_layout_.scales);
  for (int layer = 0; layer < config_.layers; ++layer) {
    std::byte* const block = layers_.emplace_back(block_of(layout_.bytes)).data();
    for (const Weight weight : layer_matrices()) {
      const auto i = static_cast<std::size_t>(weight);
      take(weight, layer, block + layout_.offsets[i], block + layout_.scales[i]);
    }
  }
  uploader.finish();
  if (!use.ring) (void)checked_tensor(source, Weight::kEmbedding);  // its rows stay with the source
}

MatrixRows DeviceWeights::with_extras(MatrixRows matrix, const DeviceBuffer& block,
                                      std::int64_t offset) const {
  if (use_.dtype != DType::kI8) return matrix;
  const std::byte* const extras = block.data() + offset;
  if (use_.ring) {
    matrix.sums = reinterpret_cast<const std::int32_t*>(extras);
  } else {
    matrix.scales = reinterpret_cast<const float*>(extras);
  }
  return matrix;
}

MatrixRows DeviceWeights::at(int layer, Weight first, Weight last) const {
  const DeviceBuffer& block = layers_[static_cast<std::size_t>(layer)];
  const auto index = static_cast<std::size_t>(first);
  MatrixRows matrix;
  matrix.data = block.data() + layout_.offsets[index];
  matrix.in = weight_shape(config_, first)[1];
  matrix.stride = row_stride(matrix.in, use_.dtype);
  const std::span<const Weight> all = layer_matrices();
  for (const Weight weight : std::span(std::ranges::find(all, first), all.end())) {
    matrix.rows += weight_shape(config_, weight)[0];
    if (weight == last) break;
  }
  return with_extras(matrix, block, layout_.scales[index]);
}

MatrixRows DeviceWeights::lm_head() const {
  const Shape shape = weight_shape(config_, Weight::kLmHead);
  MatrixRows matrix;
  matrix.data = lm_head_.data();
  matrix.rows = shape[0];
  matrix.in = shape[1];
  matrix.stride = row_stride(shape[1], use_.dtype);
  return with_extras(matrix, lm_head_, head_layout_.scales);
}

}  // namespace airlock::cuda
