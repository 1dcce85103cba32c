#include "airlock/shield/stored_pads.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "airlock/core/error.h"

namespace airlock {

StoredPads::StoredPads(const RingModel& model, PadRows layout, const PadOptions& options)
    : model_(model),
      stop_(options.stop),
      bank_(model.groups(), model.config(), layout, options.memory),
      random_(options.test_key ? SecretRandom(*options.test_key) : SecretRandom()) {}

std::int64_t StoredPads::batch_rows(std::int64_t needed, std::int64_t room) const {
  constexpr std::int64_t kLeast = 64;
  constexpr std::int64_t kMost = 512;
  return std::max(std::min(needed, kMost), std::min(kLeast, room));
}

std::int64_t StoredPads::add_unstored(int /*group*/, std::int64_t /*rows*/, Pad& /*pad*/) {
  return 0;
}

Pad StoredPads::take(int group, std::int64_t rows) {
  require(group >= 0 && group < bank_.groups() && rows >= 1, ErrorCode::kInternal,
          "{} rows of pads for group {} of {}", rows, group, bank_.groups());
  Pad pad;
  std::int64_t left = rows - bank_.take(group, rows, pad);
  while (left > 0) {
    const std::int64_t added = add_unstored(group, left, pad);
    stats_.rows_made += added;
    left -= added;
    if (added == 0) {
      make_batch(group, batch_rows(left, bank_.room(group)));
      left -= bank_.take(group, left, pad);
    }
  }
  stats_.rows_used += rows;
  return pad;
}

void StoredPads::fill(std::int64_t rows,
                      const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const std::int64_t wanted = std::min(rows, bank_.capacity());
  std::int64_t done = 0;
  for (int group = 0; group < bank_.groups(); ++group) {
    done += std::min(bank_.ready(group), wanted);
  }
  for (int group = 0; group < bank_.groups(); ++group) {
    while (bank_.ready(group) < wanted && bank_.room(group) > 0) {
      stop_.throw_if_stopped();
      const std::int64_t before = bank_.ready(group);
      const std::int64_t room = bank_.room(group);
      make_batch(group, std::min(batch_rows(std::min(wanted - before, room), room), room));
      done += std::min(bank_.ready(group), wanted) - before;
      if (progress) progress(done, wanted * bank_.groups());
    }
  }
}

std::int64_t StoredPads::rows_ready() const {
  std::int64_t ready = std::numeric_limits<std::int64_t>::max();
  for (int group = 0; group < bank_.groups(); ++group) {
    ready = std::min(ready, bank_.ready(group));
  }
  return ready;
}

void StoredPads::make_batch(int group, std::int64_t rows) {
  const auto begin = std::chrono::steady_clock::now();
  bank_.make(group, rows, [this](const PadBatch& batch) { make(batch); });
  stats_.rows_made += rows;
  stats_.make_ms +=
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace airlock
