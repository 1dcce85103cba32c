#include "airlock/worker/cuda/weights.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/core/interrupt.h"
#include "airlock/math/convert.h"
#include "airlock/remote/rules.h"
#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {
namespace {

constexpr std::array kOrder = {Weight::kQ,    Weight::kK,  Weight::kV,   Weight::kO,
                               Weight::kGate, Weight::kUp, Weight::kDown};

void check_tensor(ConstTensor tensor, const Shape& shape, std::string_view name) {
  const DType dtype = tensor.spec.dtype;
  require(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16,
          ErrorCode::kInternal, "weights {} are {}, expected f32, bf16 or f16", name,
          dtype_name(dtype));
  require(tensor.spec.shape == shape, ErrorCode::kInternal, "weights {} have shape {}, expected {}",
          name, tensor.spec.shape, shape);
}

/// Converts on the host, piece by piece, while the piece before is on its way.
class Uploader {
 public:
  explicit Uploader(DType compute) : compute_(compute) {}

  void upload(ConstTensor tensor, std::byte* to) {
    const auto element = static_cast<std::int64_t>(dtype_size(compute_));
    const auto source_element = static_cast<std::int64_t>(dtype_size(tensor.spec.dtype));
    const std::int64_t all = tensor.spec.shape.elements();
    const std::int64_t piece = kPiece / element;
    for (std::int64_t begin = 0; begin < all; begin += piece) {
      const Shape shape{std::min(piece, all - begin)};
      Slot& slot = slots_[next_++ % slots_.size()];
      slot.sent.wait();
      convert({{tensor.spec.dtype, shape}, tensor.data + begin * source_element},
              {{compute_, shape}, slot.memory.data()});
      check(cudaMemcpyAsync(to + begin * element, slot.memory.data(),
                            static_cast<std::size_t>(shape[0] * element), cudaMemcpyHostToDevice,
                            stream_.get()),
            "cudaMemcpyAsync");
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

  DType compute_;
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
  Stream stream_;
};

}  // namespace

DeviceWeights::DeviceWeights(WeightSource& source, DType compute, MemoryBudget& budget,
                             const std::function<void(std::int64_t, std::int64_t)>& progress)
    : config_(source.config()) {
  const auto element = static_cast<std::int64_t>(dtype_size(compute));
  std::int64_t total = source.lm_head().bytes();
  for (int layer = 0; layer < config_.layers; ++layer) {
    for (const Weight weight : kOrder) total += source.layer_weight(layer, weight).bytes();
  }
  Uploader uploader(compute);
  std::int64_t done = 0;
  const auto take = [&](ConstTensor tensor, const Shape& shape, std::string_view name,
                        std::byte* to) {
    throw_if_interrupted();
    check_tensor(tensor, shape, name);
    uploader.upload(tensor, to);
    source.release(tensor);
    done += tensor.bytes();
    if (progress) progress(done, total);
  };

  const Shape vocabulary{config_.vocab, config_.hidden};
  lm_head_ = DeviceBuffer(budget, vocabulary.elements() * element);
  take(source.lm_head(), vocabulary, "lm_head", lm_head_.data());
  bytes_ = lm_head_.size();
  layers_.resize(static_cast<std::size_t>(config_.layers));
  for (int layer = 0; layer < config_.layers; ++layer) {
    Layer& own = layers_[static_cast<std::size_t>(layer)];
    const LayerLayout layout = layer_layout(config_, compute);
    own.offsets = layout.offsets;
    own.block = DeviceBuffer(budget, layout.bytes);
    bytes_ += own.block.size();
    for (const Weight weight : kOrder) {
      take(source.layer_weight(layer, weight), weight_shape(config_, weight), weight_name(weight),
           own.block.data() + own.offsets[static_cast<std::size_t>(weight)]);
    }
  }
  uploader.finish();
  check_tensor(source.embedding(), vocabulary, "embedding");
}

MatrixRows DeviceWeights::at(int layer, Weight first, Weight last) const {
  const Layer& own = layers_[static_cast<std::size_t>(layer)];
  MatrixRows matrix{own.block.data() + own.offsets[static_cast<std::size_t>(first)], 0,
                    weight_shape(config_, first)[1]};
  for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i) {
    matrix.rows += weight_shape(config_, static_cast<Weight>(i))[0];
  }
  return matrix;
}

MatrixRows DeviceWeights::lm_head() const {
  return {lm_head_.data(), config_.vocab, config_.hidden};
}

}  // namespace airlock::cuda
