// What a plan will send and receive, to the byte, from the model's numbers alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/ops/call.h"
#include "airlock/plan/pass.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// Payload of the calls of one operator. Bytes are tensor bytes, without framing.
struct OpTraffic {
  Op op = Op::kInit;
  std::int64_t calls = 0;
  std::int64_t sent_bytes = 0;      ///< runner to worker
  std::int64_t received_bytes = 0;  ///< worker to runner
  friend bool operator==(const OpTraffic&, const OpTraffic&) = default;
};

/// Payload of a whole run of one plan.
struct Traffic {
  std::vector<OpTraffic> ops;  ///< in the order of Op, operators that are called only
  [[nodiscard]] std::int64_t calls() const noexcept;
  [[nodiscard]] std::int64_t sent_bytes() const noexcept;
  [[nodiscard]] std::int64_t received_bytes() const noexcept;
  [[nodiscard]] std::int64_t total_bytes() const noexcept {
    return sent_bytes() + received_bytes();
  }
  /// Adds calls of `op` with so many bytes all together. Throws Error(kInvalidArgument) past 2^58
  /// bytes a direction.
  void add(Op op, std::int64_t sent, std::int64_t received, std::int64_t calls = 1);
  friend bool operator==(const Traffic&, const Traffic&) = default;
};

/// Throws Error(kInvalidArgument) unless `prompt` tokens (at least one) and `generated` more (at
/// least none) fit the model's context; the last one generated is not fed back.
void check_tokens(const ModelConfig& config, std::int64_t prompt, std::int64_t generated);

/// Traffic of prefilling `prompt` tokens and generating `generated` tokens (the first of which
/// comes with the prefill; 0 counts the prefill alone, as 1 does).
/// Throws Error(kInvalidArgument) for no tokens, tokens past the context, or knobs that do not go
/// together.
Traffic predict_traffic(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                        std::int64_t generated);

/// Sequences of the same lengths that prefill one after the other and then generate side by side.
struct SideBySide {
  int sequences = 1;           ///< 1 to kMaxRanges
  std::int64_t prompt = 0;     ///< tokens of each
  std::int64_t generated = 0;  ///< tokens of each, as predict_traffic counts those of one
  friend bool operator==(const SideBySide&, const SideBySide&) = default;
};

/// Their traffic. Throws as for one sequence.
Traffic predict_traffic(const ModelConfig& config, const Plan& plan, const SideBySide& run);

/// Traffic of batches one after the other. Throws Error(kInvalidArgument) past 2^58 bytes, and as
/// build_program does.
Traffic predict_traffic(const ModelConfig& config, const Plan& plan,
                        std::span<const Batch> batches);

}  // namespace airlock
