// The interface through which a plan's executor reaches operators that run elsewhere. A decorator
// of it can mask, check or record what crosses.
#pragma once

#include <span>

#include "airlock/core/tensor.h"
#include "airlock/wire/call.h"

namespace airlock {

/// Runs one call at a time. Implementations: a client over a link, and a local one that calls a
/// backend in this process. Not thread-safe.
class Operators {
 public:
  Operators() = default;
  Operators(const Operators&) = delete;
  Operators& operator=(const Operators&) = delete;
  virtual ~Operators() = default;

  /// Runs `call` on `inputs` and fills `outputs`, whose shapes are those of `call.inputs` and of
  /// infer_outputs(call). Both are f32 in memory (ids: i64) whatever dtype the call says travels:
  /// conversion is the implementation's.
  /// Throws Error: kProtocol, kTimeout, kConnectionLost, kSessionLost, kInterrupted or what the
  /// worker answered, naming the call.
  virtual void execute(const Call& call, std::span<const ConstTensor> inputs,
                       std::span<const Tensor> outputs) = 0;
};

}  // namespace airlock
