#include "airlock/worker/cpu/weight_matrix.h"

#include <algorithm>

#include "airlock/math/convert.h"
#include "airlock/math/gemv.h"

namespace airlock {
namespace {

/// Most rows for gemv. Measured, widening a panel for sgemm takes as long as its products do up to
/// here.
constexpr std::int64_t kGemvRows = 32;

/// Outputs widened and multiplied at a time. For few rows a panel should stay in the cache; for
/// many, sgemm's own copy of x, made once a panel, should vanish.
std::int64_t panel_outputs(std::int64_t rows, std::int64_t inputs) {
  constexpr std::int64_t kLeast = 512;
  constexpr std::int64_t kMostElements = 8 << 20;
  return std::clamp<std::int64_t>(kMostElements / inputs, 1, std::max(kLeast, 4 * rows));
}

void multiply_stored(const BufferPool& pool, const float* x, std::int64_t rows, ConstTensor w,
                     float* out) {
  const DType dtype = w.spec.dtype;
  const std::int64_t outputs = w.spec.shape[0];
  const std::int64_t inputs = w.spec.shape[1];
  if (dtype == DType::kF32) return sgemm(x, rows, w.as<float>(), outputs, inputs, out, outputs);
  const std::int64_t panel = std::min(outputs, panel_outputs(rows, inputs));
  const Buffer wide = pool.acquire(static_cast<std::size_t>(panel * inputs) * sizeof(float));
  for (std::int64_t o = 0; o < outputs; o += panel) {
    const Shape shape{std::min(panel, outputs - o), inputs};
    const auto at = static_cast<std::size_t>(o * inputs) * dtype_size(dtype);
    convert({{dtype, shape}, w.data + at}, {{DType::kF32, shape}, wide.data()});
    sgemm(x, rows, wide.as<float>(), shape[0], inputs, out + o, outputs);
  }
}

}  // namespace

bool packs_weights() {
  return onednn_has_bf16();
}

WeightMatrix prepare_weight(Gemm& gemm, ConstTensor weight, DType compute) {
  if (packs_weights()) return {gemm.pack(weight, compute), {}};
  return {{}, weight};
}

void multiply(Gemm& gemm, const BufferPool& pool, const void* x, std::int64_t rows,
              const WeightMatrix& w, DType out_dtype, void* out) {
  if (w.stored.data == nullptr) return gemm.multiply(x, rows, w.packed, out_dtype, out);
  const auto* wide = static_cast<const float*>(x);
  if (by_gemv(w, rows)) {
    const GemvProduct product{w.stored, static_cast<float*>(out)};
    return gemv(wide, rows, {&product, 1});
  }
  multiply_stored(pool, wide, rows, w.stored, static_cast<float*>(out));
}

bool by_gemv(const WeightMatrix& w, std::int64_t rows) {
  return w.stored.data != nullptr && rows <= kGemvRows;
}

}  // namespace airlock
