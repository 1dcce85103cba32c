// The interface through which a plan's executor reaches operators that run elsewhere. Decorators of
// it (see forwarding_operators.h) mask, check or explain; where tensors lie is not its business
// (see endpoint.h).
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"

namespace airlock {

/// A call under way: the number of calls begun before it, counted by the implementation at the
/// bottom. Decorators hand it on, and file under it what they keep of a call (calls_under_way.h).
struct CallTicket {
  std::uint64_t number = 0;
  friend bool operator==(const CallTicket&, const CallTicket&) = default;
};

/// Runs calls in order. Implementations: a client over a link, and a local one that calls a backend
/// in this process. Not thread-safe.
class Operators {
 public:
  Operators() = default;
  Operators(const Operators&) = delete;
  Operators& operator=(const Operators&) = delete;
  virtual ~Operators() = default;

  /// Most calls that may be under way: submit() up to so many before a collect(). At least 1.
  [[nodiscard]] virtual int lanes() const noexcept = 0;

  /// Begins `call` on `inputs`; it will fill `outputs`. Shapes are those of `call.inputs` and of
  /// infer_outputs(call). Each is f32 in memory (ids: i64), or in the dtype in which lower(call)
  /// lets it travel: conversion is the implementation's. All memory must stay until the call has
  /// been collected.
  /// Throws Error: kProtocol, kTimeout, kConnectionLost, kSessionLost, kInterrupted or what the
  /// worker answered, naming the call; the call is then not under way.
  virtual CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                            std::span<const Tensor> outputs) = 0;
  /// Waits for `ticket`, which must be the oldest call under way; its outputs are filled then.
  /// Throws as submit does; the call is no longer under way either way.
  virtual void collect(CallTicket ticket) = 0;
  /// Waits until no call is under way and forgets their results, after an error.
  virtual void abandon() noexcept = 0;

  /// Runs `call` to its end. No other call may be under way.
  void execute(const Call& call, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs) {
    collect(submit(call, inputs, outputs));
  }

  /// Frees what the worker keeps of a sequence. No call of it may be under way. Throws as submit
  /// does.
  virtual void end_sequence(std::uint32_t sequence) = 0;

  /// `call` as it crosses to the worker: a pure function of the call, which prediction shares (see
  /// plan/lowering.h). The bottom of a stack changes nothing.
  [[nodiscard]] virtual Call lower(const Call& call) const { return call; }
};

}  // namespace airlock
