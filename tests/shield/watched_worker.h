// What tests put between a shield and a worker: something that records what crosses, and something
// that lies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "airlock/ops/calls_under_way.h"
#include "airlock/ops/forwarding_operators.h"
#include "airlock/ops/rules.h"

namespace airlock::testing {

/// Keeps the ring elements that are sent to the worker, call by call.
class RecordingOperators final : public ForwardingOperators {
 public:
  using ForwardingOperators::ForwardingOperators;

  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    if (call.op == Op::kRingLinear && inputs[0].spec.dtype == DType::kRing) {
      const auto* const words = inputs[0].as<std::uint32_t>();
      sent.insert(sent.end(), words, words + inputs[0].spec.shape.elements());
    }
    return ForwardingOperators::submit(call, inputs, outputs);
  }
  std::vector<std::uint32_t> sent;
};

/// Changes the reply of one RingLinear, the `target`-th, by `lie`.
class LyingOperators final : public ForwardingOperators {
 public:
  /// Gets the reply's elements, all outputs one after the other as they are asked for, and those of
  /// the last reply of the same length (empty before there was one).
  using Lie = std::function<void(std::vector<std::span<std::uint32_t>>& reply,
                                 const std::vector<std::uint32_t>& earlier)>;

  LyingOperators(Operators& next, int target, Lie lie)
      : ForwardingOperators(next), kept_(next.lanes()), target_(target), lie_(std::move(lie)) {}

  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    Kept& kept = kept_.next();
    kept.outputs.clear();
    if (call.op == Op::kRingLinear) kept.outputs.assign(outputs.begin(), outputs.end());
    const CallTicket ticket = ForwardingOperators::submit(call, inputs, outputs);
    kept_.begin(ticket);
    return ticket;
  }
  void collect(CallTicket ticket) override {
    Kept& kept = kept_.end(ticket);
    ForwardingOperators::collect(ticket);
    if (kept.outputs.empty()) return;
    std::vector<std::span<std::uint32_t>> reply;
    for (const Tensor& output : kept.outputs) {
      if (output.spec.dtype != DType::kRing) return;
      reply.emplace_back(reinterpret_cast<std::uint32_t*>(output.data),
                         static_cast<std::size_t>(output.spec.shape.elements()));
    }
    std::vector<std::uint32_t> own(reply[0].begin(), reply[0].end());
    if (calls++ == target_) {
      static const std::vector<std::uint32_t> none;
      lie_(reply, earlier_.size() == own.size() ? earlier_ : none);
      told = true;
    }
    earlier_ = std::move(own);
  }
  void abandon() noexcept override {
    ForwardingOperators::abandon();
    kept_.clear();
  }

  int calls = 0;
  bool told = false;

 private:
  struct Kept {
    std::vector<Tensor> outputs;
  };
  CallsUnderWay<Kept> kept_;
  int target_;
  Lie lie_;
  std::vector<std::uint32_t> earlier_;
};

}  // namespace airlock::testing
