#include "airlock/worker/cpu/gated_mlp.h"

#include "airlock/math/activation.h"
#include "airlock/worker/cpu/linear.h"

namespace airlock {

void gated_mlp(CpuContext& context, const CpuWeights& weights, int layer, ConstTensor x,
               Tensor out) {
  const std::int64_t tokens = x.spec.shape[0];
  const TensorSpec spec{context.compute, {tokens, context.config.ffn}};
  const Buffer gate = context.acquire(spec.shape.elements(), context.compute);
  {
    const Buffer up = context.acquire(spec.shape.elements(), context.compute);
    const WeightMatrix* const matrices[] = {&weights.at(layer, Weight::kGate),
                                            &weights.at(layer, Weight::kUp)};
    const Tensor outputs[] = {{spec, gate.data()}, {spec, up.data()}};
    linear(context, x, matrices, outputs);
    silu_mul(outputs[0], outputs[1], outputs[0]);
  }
  const WeightMatrix* const down[] = {&weights.at(layer, Weight::kDown)};
  linear(context, {spec, gate.data()}, down, {&out, 1});
}

}  // namespace airlock
