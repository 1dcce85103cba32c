#include "airlock/worker/local_operators.h"

#include <chrono>

#include "airlock/ops/rules.h"

namespace airlock {

LocalOperators::LocalOperators(Backend& backend)
    : backend_(backend), session_(backend.open_session()) {}

void LocalOperators::execute(const Call& call, std::span<const ConstTensor> inputs,
                             std::span<const Tensor> outputs) {
  const auto begin = std::chrono::steady_clock::now();
  Call local = call;
  local.reply_dtype = DType::kF32;
  for (int i = 0; i < local.inputs.size(); ++i) {
    local.inputs[i] = inputs[static_cast<std::size_t>(i)].spec;
  }
  (void)infer_outputs(backend_.config(), local);
  backend_.execute(local, *session_, inputs, outputs);
  backend_ms_ +=
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace airlock
