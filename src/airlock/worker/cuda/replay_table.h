// Which calls' kernels are recorded as one unit, when, and how long the record is kept: a token's
// calls come again with every token, and launching their kernels one by one takes longer than
// running them. Knows nothing of CUDA.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

#include "airlock/ops/call.h"

namespace airlock::cuda {

/// All that the kernels of a call depend on but its position, which they read from the device.
/// Where tensors and scratch lie follows from the call and the block that both are taken from.
struct ReplayKey {
  Call call;                        ///< without its ranges
  const void* memory = nullptr;     ///< the arena's block, after which a smaller one may lie there
  std::size_t memory_bytes = 0;     ///< of it
  const void* cache = nullptr;      ///< keys of the sequence's layer, for calls that have a cache
  std::int64_t cache_capacity = 0;  ///< rows
  friend bool operator==(const ReplayKey&, const ReplayKey&) = default;
};

/// Below it the plain attention kernel runs, whose grid depends on the cache's capacity alone.
inline constexpr std::int64_t kReplayedTokens = 16;

/// True for calls of few tokens whose shapes do not depend on the context.
inline bool replayable(const Call& call) {
  if (call.ranges.size() > 1) return false;  // one position lies on the device
  switch (call.op) {
    case Op::kBatchLinear:
    case Op::kFlashAttention:
    case Op::kAttentionBlock:
    case Op::kGatedMlp:
    case Op::kLmHead:
    case Op::kRingLinear:
      return call.inputs[0].shape[0] < kReplayedTokens;
    default:
      return false;
  }
}

/// Records by key, the least recently used making room. Not thread-safe.
template <typename Record>
class ReplayTable {
 public:
  /// More than a token's calls of the largest preset (401 in combined): fewer would drop each
  /// record just before it is wanted again.
  static constexpr std::size_t kMost = 512;

  /// Enqueues a call by replay(record) if there is one, else by run(). A key that was run before is
  /// recorded first: then its memory has been allocated, its products chosen and its kernels
  /// loaded, none of which may happen in a recording. record() gives an optional Record; a key for
  /// which it gave none, or one that failed, is run ever after. Throws what they throw.
  template <typename Run, typename MakeRecord, typename Replay>
  void enqueue(const ReplayKey& key, const Run& run, const MakeRecord& record,
               const Replay& replay) {
    Entry& entry = find(key);
    if (entry.state == State::kRun) {
      entry.state = State::kTried;
      entry.record = record();
    }
    if (!entry.record) {
      run();
      if (entry.state == State::kNew) entry.state = State::kRun;
      return;
    }
    try {
      replay(*entry.record);
    } catch (...) {
      entry.record.reset();
      throw;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  enum class State : std::uint8_t { kNew, kRun, kTried };
  struct Entry {
    explicit Entry(const ReplayKey& of) : key(of) {}
    ReplayKey key;
    State state = State::kNew;
    std::optional<Record> record;
  };

  Entry& find(const ReplayKey& key) {
    const auto known = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.key == key; });
    if (known != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, known);
    } else {
      entries_.emplace_front(key);
      if (entries_.size() > kMost) entries_.pop_back();
    }
    return entries_.front();
  }

  std::list<Entry> entries_;  ///< the most recently used first
};

}  // namespace airlock::cuda
