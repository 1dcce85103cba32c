// Decorators of Operators: a base that forwards everything, so that each overrides only what it
// changes, and one for decorators that see calls but hand their tensors on untouched.
#pragma once

#include "airlock/core/error.h"
#include "airlock/ops/operators.h"

namespace airlock {

/// Forwards everything to `next`, which must outlive it. A decorator that changes what crosses
/// overrides submit() and collect(), and says in rewrite() what it does to a call. Not thread-safe.
class ForwardingOperators : public Operators {
 public:
  explicit ForwardingOperators(Operators& next) : next_(next) {}

  [[nodiscard]] int lanes() const noexcept override { return next_.lanes(); }
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    return next_.submit(rewrite(call), inputs, outputs);
  }
  void collect(CallTicket ticket) override { next_.collect(ticket); }
  void abandon() noexcept override { next_.abandon(); }
  void end_sequence(std::uint32_t sequence) override { next_.end_sequence(sequence); }
  [[nodiscard]] Call lower(const Call& call) const final { return next_.lower(rewrite(call)); }

  [[nodiscard]] Operators& next() const noexcept { return next_; }

 protected:
  /// What this decorator alone does to a call: dtypes, shapes, operator. Pure.
  [[nodiscard]] virtual Call rewrite(const Call& call) const { return call; }

 private:
  Operators& next_;
};

/// A decorator that cannot change a tensor: it sees calls begin, end and fail, and may rewrite
/// their description. Only such ones let an executor write into memory that the worker maps
/// (endpoint.h): what lies there is what crosses.
class TransparentOperators : public ForwardingOperators {
 public:
  using ForwardingOperators::ForwardingOperators;

  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) final {
    try {
      const CallTicket ticket = ForwardingOperators::submit(call, inputs, outputs);
      begun(call, ticket);
      return ticket;
    } catch (const Error& error) {
      failed(error);
      throw;
    }
  }
  void collect(CallTicket ticket) final {
    try {
      ForwardingOperators::collect(ticket);
    } catch (const Error& error) {
      failed(error);
      throw;
    }
    ended(ticket);
  }

 protected:
  virtual void begun(const Call& /*call*/, CallTicket /*ticket*/) {}
  virtual void ended(CallTicket /*ticket*/) {}
  /// May throw an error that says more in place of `error`.
  virtual void failed(const Error& /*error*/) {}
};

}  // namespace airlock
