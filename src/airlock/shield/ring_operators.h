// The shield between an executor and a worker: products with weights leave as exact ones on rows
// that are quantized, masked by one-time pads, and come back unmasked, checked, as f32.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/ops/calls_under_way.h"
#include "airlock/ops/endpoint.h"
#include "airlock/ops/forwarding_operators.h"
#include "airlock/plan/plan.h"
#include "airlock/shield/noise.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/pad_tiles.h"
#include "airlock/shield/ring_model.h"
#include "airlock/shield/tile_kernels.h"

namespace airlock {

/// Time of the shield's work since the start, in ms of wall time.
struct ShieldTimes {
  double pad_ms = 0;      ///< making pads and noise
  double check_ms = 0;    ///< sums of the checks: a share of the kernels' time, measured once
  double convert_ms = 0;  ///< the kernels' rest: quantizing, masking, unmasking
};

/// Not thread-safe. Allocates nothing once the shapes have been seen. Plaintext and pads lie in
/// memory that is not dumped; what crosses lies in the link's own, where it has any.
class RingOperators final : public ForwardingOperators {
 public:
  /// `below` reaches the worker; all must outlive it. `plan` is of the ring; `pads` may be null
  /// without a mask. `noise` replaces the fresh one in tests; with it, rows carry noise whatever
  /// the pads need. Throws Error(kInternal) if the parts do not suffice for the plan.
  RingOperators(const Endpoint& below, RingModel& model, const Plan& plan, PadSource* pads,
                NoiseSource* noise = nullptr);
  ~RingOperators() override;

  /// Throws Error(kInvalidArgument) for rows that are not finite, naming the call and the row, and
  /// as the worker's operators and PadSource::take do.
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override;
  /// Throws Error(kCheckFailed), naming operator, layer and matrix, if a product is not what it
  /// must be: nothing of the reply may be used. The next submit draws fresh vectors to check with.
  void collect(CallTicket ticket) override;
  void abandon() noexcept override;

  /// The first call measures the checks' share: some 20 ms.
  [[nodiscard]] ShieldTimes times() const;

 private:
  struct State;
  struct ThreadMemory;

  [[nodiscard]] Call rewrite(const Call& call) const override;
  /// Masks and submits; `state` holds what it took if it throws.
  CallTicket send(State& state, const Call& lowered, const ConstTensor& x,
                  std::span<const Tensor> outputs);
  void quantize(State& state, const ConstTensor& x);
  void mask(State& state, const ConstTensor& x);
  void unmask(State& state, int index);
  void compare(const State& state, int index);
  [[nodiscard]] std::int64_t tile_columns(const State& state, std::int64_t columns) const;
  /// Runs body(index, thread) for `tasks` tasks; adds the time to that of pads and to `kernel_ms`.
  template <typename Body>
  void run_tiles(std::int64_t tasks, double& kernel_ms, const Body& body);
  [[nodiscard]] ThreadMemory& memory_of(int thread) {
    return *threads_[static_cast<std::size_t>(thread)];
  }
  /// Calls body(TileRows) for all of a call's rows with the pad's tiles of those columns.
  template <typename Body>
  void for_each_tile(const State& state, PadPart part, std::int64_t column, std::int64_t columns,
                     ThreadMemory& memory, const Body& body);
  void zero_sums(int count, std::int64_t rows);
  /// Sum of the threads' sums of a check, row by row, into the first thread's.
  void gather_sums(int count, std::int64_t rows);

  RingModel& model_;
  const Plan plan_;
  const int checks_;
  PadSource* const pads_;
  std::unique_ptr<NoiseSource> own_noise_;
  NoiseSource* const noise_;
  BufferPool transfer_;  ///< what crosses
  BufferPool secret_;    ///< what must not
  CallsUnderWay<std::unique_ptr<State>> calls_;
  std::vector<std::unique_ptr<ThreadMemory>> threads_;
  double pad_ms_ = 0;
  double mask_ms_ = 0;  ///< of the kernels, checks among it, as is the next
  double unmask_ms_ = 0;
  /// Of the checks in the kernels' times, once somebody asked.
  mutable std::optional<std::pair<double, double>> check_shares_;
};

}  // namespace airlock
