// What plans of the ring need beside a session with a worker: the model's norms and keys, pads and
// the operators that use them. Plain plans need nothing of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "airlock/launch/session.h"
#include "airlock/model/fingerprint.h"
#include "airlock/plan/plan.h"
#include "airlock/runner/runner_model.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"
#include "airlock/shield/ring_operators.h"

namespace airlock {

struct ShieldOptions {
  int checks = 1;       ///< vectors to check products with: what the strictest plan wants
  bool lm_head = true;  ///< some plan leaves the LM head to the worker
  PadOptions pads;      ///< its fingerprint is the model's
  std::string dealer;   ///< address of the second worker, for PadKind::kDealer
  /// Hears what is being done ("weights", "hints", "pads") with its progress. May throw.
  std::function<void(const char* what, std::int64_t done, std::int64_t all)> progress = {};
};

/// Those for plans that will be prepared, the rest as in `options`.
[[nodiscard]] ShieldOptions for_plans(ShieldOptions options, std::span<const Plan> plans);

/// What a worker started for these plans must have.
[[nodiscard]] ProductKinds products_for(std::span<const Plan> plans) noexcept;
[[nodiscard]] inline ProductKinds products_for(const Plan& plan) noexcept {
  return products_for(std::span(&plan, 1));
}

/// Keeps what is slow to make, for one plan after another of the same model: RingModel, hints,
/// pads. Not thread-safe.
class Shield {
 public:
  /// `model` must outlive it. Nothing is loaded before a plan asks for it.
  Shield(const RunnerModel& model, const Fingerprint& fingerprint, ShieldOptions options);
  ~Shield();
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;

  /// Loads what `plan` needs, from `session`'s worker where it comes from there. Throws
  /// Error(kUnsupported) if that worker has no products of the ring; Error(kInvalidArgument) for a
  /// dealer that is that worker, or none; what RingModel, pads and sessions throw. Nothing for
  /// plain plans.
  void prepare(const Plan& plan, WorkerSession& session, const WorkerOptions& worker);

  /// Makes pads ahead, within their memory: rows for so many tokens.
  void fill(std::int64_t tokens);

  [[nodiscard]] RingModel& ring_model() const;
  /// The pads of the last plan prepared; null without a mask.
  [[nodiscard]] PadSource* pads() const noexcept { return pads_; }
  /// Of the source in use; zeros without one.
  [[nodiscard]] PadStats pad_stats() const;

 private:
  const RunnerModel& model_;
  const Fingerprint fingerprint_;
  const ShieldOptions options_;
  std::unique_ptr<RingModel> ring_;
  std::unique_ptr<WorkerSession> dealer_;
  std::unique_ptr<PadSource> sources_[3];  ///< by PadKind
  PadSource* pads_ = nullptr;
};

/// A session's endpoint as a plan wants it: behind a shield for plans of the ring. Not thread-safe.
class ShieldedEndpoint {
 public:
  /// Prepares `shield` (not null for plans of the ring). All must outlive it.
  ShieldedEndpoint(const Plan& plan, WorkerSession& session, const WorkerOptions& worker,
                   Shield* shield);

  [[nodiscard]] Endpoint endpoint() const;
  /// Zeros for plain plans.
  [[nodiscard]] ShieldTimes times() const;

 private:
  WorkerSession& session_;
  std::unique_ptr<RingOperators> operators_;
};

}  // namespace airlock
