#include "airlock/worker/cuda/ring_layout.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <numeric>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_matrix.h"

namespace airlock::cuda {

std::int64_t ring_call_bytes(std::int64_t tokens, std::int64_t in, std::int64_t out) {
  constexpr auto kElement = static_cast<std::int64_t>(sizeof(std::uint32_t));
  const std::int64_t travels = kElement * (in + out);  // a row
  const RingShape piece(DType::kRing, RowChunks(tokens, travels, ring_grain(DType::kRing))[0].count,
                        in, out);
  return tokens * travels + piece.digit_bytes() + kElement * piece.sum_count();
}

void check_ring_terms(const ModelConfig& config) {
  std::int64_t widest = weight_shape(config, Weight::kLmHead)[1];
  for (const Weight weight : layer_matrices()) {
    widest = std::max(widest, weight_shape(config, weight)[1]);
  }
  require(widest <= kMaxRingTerms, ErrorCode::kUnsupported,
          "a weight has {} columns, products of the ring are exact up to {}", widest,
          kMaxRingTerms);
}

void make_ring_rows(ConstTensor weight, std::int64_t row, std::int64_t rows, std::int8_t* q,
                    std::int32_t* sums) {
  const std::int64_t in = weight.spec.shape[1];
  // An exception must not leave a parallel loop: the first row's that failed is thrown behind it.
  std::mutex mutex;
  std::exception_ptr failure;
  std::int64_t failed = rows;
  parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    const auto elements = static_cast<std::size_t>(count * in);
    try {
      std::vector<float> scales(static_cast<std::size_t>(count));
      quantize_weight_rows(weight, row + begin, count, {q + begin * in, elements}, scales);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (begin < failed) failure = std::current_exception();
      failed = std::min(failed, begin);
      return;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      sums[i] = std::accumulate(q + i * in, q + (i + 1) * in, std::int32_t{0});
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace airlock::cuda
