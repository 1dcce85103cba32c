#include "airlock/kernels/weight_matrix.h"

#include <algorithm>
#include <atomic>

#include "airlock/core/threads.h"
#include "airlock/math/convert.h"
#include "airlock/math/gemv.h"

namespace airlock {
namespace {

/// Most rows for gemv. Measured, widening a panel for sgemm takes as long as its products do up to
/// here.
constexpr std::int64_t kGemvRows = 32;

/// Outputs that one thread widens and multiplies at a time. For few rows a panel should stay in the
/// cache; for many, sgemm's own copy of x, made once a panel, should vanish; and every thread
/// should get several.
std::int64_t panel_outputs(std::int64_t rows, std::int64_t outputs, std::int64_t inputs) {
  constexpr std::int64_t kLeast = 512;
  constexpr std::int64_t kMostElements = 8 << 20;
  constexpr std::int64_t kStep = 16;
  const std::int64_t share = (outputs + 3 * threads() - 1) / (3 * threads());
  const std::int64_t most = std::max<std::int64_t>(kMostElements / threads() / inputs, kStep);
  const std::int64_t wanted = std::min({std::max(kLeast, 2 * rows), most, share});
  return std::min((wanted + kStep - 1) / kStep * kStep, outputs);
}

/// Each thread takes the next panel of outputs as it is done with one: nothing is waited for before
/// the end, when another process has the other core for a while.
void multiply_stored(const BufferPool& pool, const float* x, std::int64_t rows, ConstTensor w,
                     float* out) {
  require_room_for_code();
  const DType dtype = w.spec.dtype;
  const std::int64_t outputs = w.spec.shape[0];
  const std::int64_t inputs = w.spec.shape[1];
  const std::int64_t panel = panel_outputs(rows, outputs, inputs);
  const std::int64_t panels = (outputs + panel - 1) / panel;
  const bool widen = dtype != DType::kF32;
  const std::int64_t wide_elements = widen ? panel * inputs : 0;
  const Buffer wide =
      pool.acquire(static_cast<std::size_t>(threads() * wide_elements) * sizeof(float));
  std::atomic<int> failed{0};
  parallel_tasks(panels, [&](std::int64_t index, int thread) {
    const std::int64_t first = index * panel;
    const Shape shape{std::min(panel, outputs - first), inputs};
    const std::byte* stored = w.data + static_cast<std::size_t>(first * inputs) * dtype_size(dtype);
    const float* panel_weights = reinterpret_cast<const float*>(stored);
    if (widen) {
      float* own = wide.as<float>() + thread * wide_elements;
      convert({{dtype, shape}, stored}, {{DType::kF32, shape}, reinterpret_cast<std::byte*>(own)});
      panel_weights = own;
    }
    const int status = sgemm(x, rows, panel_weights, shape[0], inputs, out + first, outputs);
    if (status != 0) failed = status;
  });
  require_sgemm(failed);
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
