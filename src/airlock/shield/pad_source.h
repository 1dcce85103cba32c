// Where pads come from: lattice samples, a dealer, or the runner's own products.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "airlock/core/stop.h"
#include "airlock/math/field_random.h"
#include "airlock/model/fingerprint.h"
#include "airlock/ops/operators.h"
#include "airlock/shield/pad.h"
#include "airlock/shield/ring_model.h"

namespace airlock {

/// Counts since the start.
struct PadStats {
  std::int64_t rows_used = 0;      ///< handed out
  std::int64_t rows_made = 0;      ///< made, used or not
  std::int64_t prepared_sent = 0;  ///< payload of hints and dealt pads, runner to worker or dealer
  std::int64_t prepared_received = 0;
  double make_ms = 0;  ///< spent making pads, hints apart
};

/// Gives pads for the groups of one RingModel. Not thread-safe.
class PadSource {
 public:
  PadSource() = default;
  PadSource(const PadSource&) = delete;
  PadSource& operator=(const PadSource&) = delete;
  virtual ~PadSource() = default;

  /// A pad of `rows` fresh rows for ring_groups()[group]. Makes what is not there. Throws what the
  /// dealer's or worker's operators throw, Error(kResourceExhausted).
  [[nodiscard]] virtual Pad take(int group, std::int64_t rows) = 0;
  /// Makes rows ahead of time within the bank's memory, for a while: until every group has `rows`
  /// ready or memory is full. `progress` (may be empty) hears rows done and in all.
  virtual void fill(std::int64_t rows,
                    const std::function<void(std::int64_t, std::int64_t)>& progress) = 0;
  /// Rows ready for every group.
  [[nodiscard]] virtual std::int64_t rows_ready() const = 0;
  /// True if rows must carry noise (e uniform in -8..7) for the pads to be what they promise.
  [[nodiscard]] virtual bool needs_noise() const noexcept = 0;
  [[nodiscard]] virtual const PadStats& stats() const noexcept = 0;
};

struct PadOptions {
  /// Bytes at most of rows made ahead; less than a row of every group: none are.
  std::int64_t memory = std::int64_t{1} << 30;
  LatticeParameters lattice;
  std::filesystem::path hint_cache;  ///< folder for hints; empty: none are kept on disk
  Fingerprint fingerprint;           ///< of the model, in the cache's names
  /// Hears bytes of hints done so far and in all, while they are fetched or read. May throw.
  std::function<void(std::int64_t done, std::int64_t total)> hint_progress = {};
  StopToken stop = {};
  /// Keys the random numbers, so that a test meets the same pads again. Nobody else may set it.
  std::optional<FieldSeed> test_key = {};
};

/// Pads from lattice samples. Loads hints from the cache, or fetches them from `worker` (PadProduct
/// calls), checks each by Freivalds against `model` (which needs at least one check vector), and
/// keeps them in memory. `model` must outlive it; `worker` is not used afterwards. Throws
/// Error(kCheckFailed) for hints from the worker that are wrong; damaged ones of the cache are
/// fetched again.
[[nodiscard]] std::unique_ptr<PadSource> make_lattice_pads(const RingModel& model,
                                                           Operators& worker,
                                                           const PadOptions& options);
/// Pads whose products `dealer` (which outlives it) makes from seeds.
[[nodiscard]] std::unique_ptr<PadSource> make_dealer_pads(const RingModel& model, Operators& dealer,
                                                          const PadOptions& options);
/// Pads whose products the runner makes itself, from `checkpoint`, which it packs (int8).
[[nodiscard]] std::unique_ptr<PadSource> make_local_pads(const RingModel& model,
                                                         const Checkpoint& checkpoint,
                                                         const PadOptions& options);

/// Bytes of hints of a model, as they travel: {sent, received}. Exact.
struct HintBytes {
  std::int64_t sent = 0;
  std::int64_t received = 0;
  std::int64_t calls = 0;
};
[[nodiscard]] HintBytes hint_bytes(const ModelConfig& config, bool lm_head,
                                   const LatticeParameters& parameters);

}  // namespace airlock
