// What pad sources share: stored rows are handed out first, batches are made when they run out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "airlock/math/field_random.h"
#include "airlock/shield/pad_bank.h"
#include "airlock/shield/pad_source.h"

namespace airlock {

/// A source says how batches are made. Not thread-safe.
class StoredPads : public PadSource {
 public:
  StoredPads(const RingModel& model, PadRows layout, const PadOptions& options);

  [[nodiscard]] Pad take(int group, std::int64_t rows) override;
  void fill(std::int64_t rows,
            const std::function<void(std::int64_t, std::int64_t)>& progress) override;
  [[nodiscard]] std::int64_t rows_ready() const override;
  [[nodiscard]] const PadStats& stats() const noexcept override { return stats_; }

 protected:
  /// Writes a fresh batch.
  virtual void make(const PadBatch& batch) = 0;
  /// Rows of the next batch, at least 1, where `needed` are wanted and `room` may be kept: enough
  /// that a decode does not ask for every token, few enough that it does not wait long.
  [[nodiscard]] virtual std::int64_t batch_rows(std::int64_t needed, std::int64_t room) const;
  /// Adds rows to `pad` that need no batch, up to `rows`; gives how many. 0: make a batch.
  virtual std::int64_t add_unstored(int group, std::int64_t rows, Pad& pad);

  [[nodiscard]] const RingModel& model() const noexcept { return model_; }
  [[nodiscard]] const PadBank& bank() const noexcept { return bank_; }
  [[nodiscard]] SecretRandom& random() noexcept { return random_; }
  [[nodiscard]] PadStats& counts() noexcept { return stats_; }

 private:
  void make_batch(int group, std::int64_t rows);

  const RingModel& model_;
  StopToken stop_;
  PadBank bank_;
  SecretRandom random_;
  PadStats stats_;
};

}  // namespace airlock
