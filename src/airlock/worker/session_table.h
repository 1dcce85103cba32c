// The sessions of a worker and the budget of KV cache they share.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"
#include "airlock/worker/backend.h"

namespace airlock {

/// Opens sessions on one backend up to a number and a budget, and runs their calls in turn.
/// Thread-safe: while a call computes, others may open and close sessions and ask for figures.
class SessionTable {
 public:
  struct Limits {
    int sessions = 16;
    std::int64_t kv_bytes = std::int64_t{8} << 30;  ///< of all sessions together
    std::chrono::milliseconds idle{60'000};         ///< after which another's need may drop a cache
  };
  struct Entry;

  /// An open session; closes (and frees its cache) on destruction. The table must outlive it.
  class Handle {
   public:
    Handle() = default;
    Handle(Handle&& other) noexcept;
    Handle& operator=(Handle&& other) noexcept;
    ~Handle() { close(); }
    explicit operator bool() const noexcept { return table_ != nullptr; }
    void close() noexcept;

   private:
    friend class SessionTable;
    SessionTable* table_ = nullptr;
    std::list<std::unique_ptr<Entry>>::iterator entry_;
  };

  /// The backend must outlive the table.
  SessionTable(Backend& backend, const Limits& limits);
  ~SessionTable();

  /// Throws Error(kResourceExhausted) if the table is full.
  Handle open();

  /// Runs a call that passed infer_outputs, as Backend::execute does. If the session's cache would
  /// take all caches past the budget, caches of sessions idle for the limit's time are dropped, the
  /// longest idle first (their next call that relies on them fails with kSessionLost); if that
  /// would not be enough, none is dropped and Error(kResourceExhausted) thrown.
  void execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs);

  [[nodiscard]] int size() const;
  [[nodiscard]] std::int64_t kv_bytes() const;

 private:
  void make_room(const Entry& session, const Call& call);

  Backend& backend_;
  const Limits limits_;
  /// Held for a call's whole length; taken before mutex_. Sessions' caches change only under it.
  std::mutex turn_;
  mutable std::mutex mutex_;  ///< guards entries_; never held while the backend computes
  std::list<std::unique_ptr<Entry>> entries_;
};

}  // namespace airlock
