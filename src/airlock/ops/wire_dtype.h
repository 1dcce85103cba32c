// The dtype in which float tensors of calls travel.
#pragma once

#include "airlock/ops/forwarding_operators.h"

namespace airlock {

/// `call` with every float tensor travelling as `wire`, both ways; ids stay as they are.
[[nodiscard]] inline Call with_wire_dtype(Call call, DType wire) {
  for (int i = 0; i < call.inputs.size(); ++i) {
    if (call.inputs[i].dtype == DType::kF32) call.inputs[i].dtype = wire;
  }
  if (call.reply_dtype == DType::kF32) call.reply_dtype = wire;
  return call;
}

/// Lets calls described in f32 travel as `wire`.
class WireDTypeOperators final : public TransparentOperators {
 public:
  WireDTypeOperators(Operators& next, DType wire) : TransparentOperators(next), wire_(wire) {}

 private:
  [[nodiscard]] Call rewrite(const Call& call) const override {
    return with_wire_dtype(call, wire_);
  }
  DType wire_;
};

}  // namespace airlock
