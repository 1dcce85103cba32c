#include "airlock/worker/cpu/linear.h"

#include <algorithm>
#include <array>
#include <optional>

#include "airlock/math/gemv.h"
#include "airlock/ops/call.h"

namespace airlock {
namespace {

/// All products in one loop over threads.
void linear_by_gemv(CpuContext& context, const float* x, std::int64_t rows,
                    std::span<const WeightMatrix* const> w, std::span<const Tensor> outputs) {
  std::array<std::optional<StagedOutput>, kMaxTensors> staged;
  std::array<GemvProduct, kMaxTensors> products;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const bool direct = outputs[i].spec.dtype == DType::kF32;
    staged[i].emplace(context.pool, outputs[i], direct);
    products[i] = {w[i]->stored, static_cast<float*>(staged[i]->data())};
  }
  gemv(x, rows, std::span(products).first(w.size()));
  for (std::size_t i = 0; i < w.size(); ++i) staged[i]->finish();
}

}  // namespace

void linear(CpuContext& context, ConstTensor x, std::span<const WeightMatrix* const> w,
            std::span<const Tensor> outputs) {
  const std::int64_t rows = x.spec.shape[0];
  const StagedInput input(context.pool, x, context.compute);
  const auto small = [rows](const WeightMatrix* weight) { return by_gemv(*weight, rows); };
  if (w.size() <= std::size_t{kMaxTensors} && std::all_of(w.begin(), w.end(), small)) {
    return linear_by_gemv(context, static_cast<const float*>(input.data()), rows, w, outputs);
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    const bool direct = Gemm::can_write(context.compute, outputs[i].spec.dtype);
    StagedOutput output(context.pool, outputs[i], direct);
    multiply(context.gemm, context.pool, input.data(), rows, *w[i], output.dtype(), output.data());
    output.finish();
  }
}

}  // namespace airlock
