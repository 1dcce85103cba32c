// The interface through which a plan's executor reaches operators that run elsewhere. A decorator
// of it can mask, check or record what crosses.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"

namespace airlock {

/// Runs calls in order. Implementations: a client over a link, and a local one that calls a backend
/// in this process. Not thread-safe.
class Operators {
 public:
  Operators() = default;
  Operators(const Operators&) = delete;
  Operators& operator=(const Operators&) = delete;
  virtual ~Operators() = default;

  /// Runs `call` on `inputs` and fills `outputs`, whose shapes are those of `call.inputs` and of
  /// infer_outputs(call). Each is f32 in memory (ids: i64), or native_dtype() of the dtype that the
  /// call says travels: conversion is the implementation's.
  /// Throws Error: kProtocol, kTimeout, kConnectionLost, kSessionLost, kInterrupted or what the
  /// worker answered, naming the call.
  virtual void execute(const Call& call, std::span<const ConstTensor> inputs,
                       std::span<const Tensor> outputs) = 0;

  /// Most calls that may be under way: submit() up to so many before a collect().
  [[nodiscard]] virtual int lanes() const noexcept { return 1; }
  /// Begins `call`; `inputs` and `outputs` must stay until it has been collected. Throws as execute
  /// does. Where nothing can be under way, runs it.
  virtual void submit(const Call& call, std::span<const ConstTensor> inputs,
                      std::span<const Tensor> outputs) {
    execute(call, inputs, outputs);
  }
  /// Waits for the oldest call under way; its outputs are filled then. Throws as execute does.
  virtual void collect() {}
  /// Frees what the worker keeps of a sequence. No call of it may be under way. Throws as execute
  /// does.
  virtual void end_sequence(std::uint32_t /*sequence*/) {}
  /// Waits until no call is under way and forgets their results, after an error.
  virtual void abandon() noexcept {}

  /// The dtype in which a tensor of a call that travels as `wire` needs no conversion. What a
  /// caller only hands from one call to the next, it best keeps so.
  [[nodiscard]] virtual DType native_dtype(DType /*wire*/) const noexcept { return DType::kF32; }
  /// Memory in which tensors of their native dtype need no copy to be sent or received. The peer
  /// may be able to read and change it at any time: nothing but what crosses belongs there.
  [[nodiscard]] virtual BufferPool memory() { return {}; }
};

}  // namespace airlock
