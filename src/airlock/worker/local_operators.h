// The same operators in this process, straight on a backend: no link, no conversion. What the cost
// of splitting is measured against.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "airlock/ops/operators.h"
#include "airlock/worker/backend.h"

namespace airlock {

/// Calls a backend with the caller's own f32 tensors. Not thread-safe.
class LocalOperators final : public Operators {
 public:
  /// `backend` must outlive it.
  explicit LocalOperators(Backend& backend) : backend_(backend) {}

  [[nodiscard]] int lanes() const noexcept override { return 1; }
  /// Runs the call.
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override;
  void collect(CallTicket ticket) override;
  void abandon() noexcept override { collected_ = submitted_; }
  void end_sequence(std::uint32_t sequence) override { sequences_.erase(sequence); }

 private:
  Backend& backend_;
  std::map<std::uint32_t, std::unique_ptr<BackendSequence>> sequences_;
  std::uint64_t submitted_ = 0;
  std::uint64_t collected_ = 0;
};

}  // namespace airlock
