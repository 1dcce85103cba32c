// What a plan does to a call on its way to the worker, as a pure function: the executor's stack of
// decorators applies it, the predictor and worker_sees too.
#pragma once

#include "airlock/ops/call.h"
#include "airlock/ops/wire_dtype.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// `call`, a product with weights described in f32, as an exact one: rows masked or as int16,
/// replies whole where they are checked, else rounded to 16 bits. Others as they are.
[[nodiscard]] inline Call with_ring_product(Call call, Mask mask, bool verify) {
  if (call.op == Op::kLmHead) {
    call.weights = {Weight::kLmHead};
  } else if (call.op != Op::kBatchLinear) {
    return call;
  }
  call.op = Op::kRingLinear;
  call.inputs[0].dtype = mask == Mask::kPads ? DType::kRing : DType::kI16;
  call.reply_dtype = verify ? DType::kRing : DType::kRing16;
  return call;
}

/// `call` of the plan's program as it crosses to the worker.
[[nodiscard]] inline Call lower_call(const Call& call, const Plan& plan) {
  if (plan.ring()) return with_ring_product(call, plan.mask, plan.verify);
  return with_wire_dtype(call, plan.wire_dtype);
}

}  // namespace airlock
