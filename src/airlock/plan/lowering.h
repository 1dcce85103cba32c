// What a plan does to a call on its way to the worker, as a pure function: the executor's stack of
// decorators applies it, the predictor and worker_sees too.
#pragma once

#include "airlock/ops/call.h"
#include "airlock/ops/wire_dtype.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// `call` of the plan's program as it crosses to the worker.
[[nodiscard]] inline Call lower_call(const Call& call, const Plan& plan) {
  return with_wire_dtype(call, plan.wire_dtype);
}

}  // namespace airlock
