#include "airlock/worker/cpu/ring_products.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/field_random.h"

namespace airlock {
namespace {

/// Rows of a pad that are made and multiplied at a time.
constexpr std::int64_t kPadPiece = 256;

std::size_t place_of(int layer, Weight weight) {
  return static_cast<std::size_t>(layer) * kWeightCount + static_cast<std::size_t>(weight);
}

/// A call's matrices, and where their products of row `row` and those after it go.
class Products {
 public:
  Products(const RingWeights& weights, const Call& call, std::span<const Tensor> outputs,
           std::int64_t row) {
    for (const Tensor& output : outputs) {
      const RingMatrix& w = weights.at(call.layer, call.weights[count_]);
      const std::size_t row_bytes = static_cast<std::size_t>(w.out) * dtype_size(output.spec.dtype);
      products_[static_cast<std::size_t>(count_++)] = {
          &w, output.data + static_cast<std::size_t>(row) * row_bytes};
    }
  }
  [[nodiscard]] std::span<const RingOutput> span() const {
    return std::span(products_).first(static_cast<std::size_t>(count_));
  }

 private:
  std::array<RingOutput, kMaxTensors> products_;
  int count_ = 0;
};

}  // namespace

RingWeights::RingWeights(WeightSource& source, const BufferPool& pool,
                         const std::function<void(std::int64_t, std::int64_t)>& progress,
                         const StopToken& stop) {
  matrices_.resize(place_of(static_cast<int>(source.config().layers), Weight{}) + 1);
  visit_matrices(source, progress, stop, [&](Weight weight, int layer, ConstTensor tensor) {
    RingMatrix& place = layer == kNoLayer ? matrices_.back() : matrices_[place_of(layer, weight)];
    place = pack_ring_matrix(pool, tensor);
    source.release(tensor);
  });
}

const RingMatrix& RingWeights::at(int layer, Weight weight) const {
  return weight == Weight::kLmHead ? matrices_.back() : matrices_[place_of(layer, weight)];
}

std::int64_t RingWeights::bytes() const {
  std::int64_t total = 0;
  for (const RingMatrix& matrix : matrices_) total += matrix.bytes();
  return total;
}

void ring_linear(const BufferPool& pool, const RingWeights& weights, const Call& call,
                 ConstTensor x, std::span<const Tensor> outputs) {
  const Products products(weights, call, outputs, 0);
  ring_multiply(pool, products.span(), x.spec.dtype, x.data, x.spec.shape[0], call.reply_dtype);
}

void pad_product(const BufferPool& pool, const RingWeights& weights, const Call& call,
                 ConstTensor seed, std::span<const Tensor> outputs) {
  FieldSeed key;
  std::memcpy(key.data(), seed.data, key.size());
  const std::int64_t in = weights.at(call.layer, call.weights[0]).in;
  const std::int64_t first = call.ranges[0].position;
  const std::int64_t rows = call.ranges[0].tokens;
  const Buffer pad = pool.acquire(static_cast<std::size_t>(std::min(rows, kPadPiece) * in) *
                                  sizeof(std::uint32_t));
  for (std::int64_t row = 0; row < rows; row += kPadPiece) {
    const std::int64_t count = std::min(kPadPiece, rows - row);
    parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        expand_field_row(key, static_cast<std::uint64_t>(first + row + i),
                         {pad.as<std::uint32_t>() + i * in, static_cast<std::size_t>(in)});
      }
    });
    const Products products(weights, call, outputs, row);
    ring_multiply(pool, products.span(), DType::kRing, pad.data(), count, DType::kRing);
  }
}

}  // namespace airlock
