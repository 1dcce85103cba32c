// The sessions of a worker, the sequences each holds, and the budget of KV cache they share.
#pragma once

#include <array>
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

/// Opens sessions on one backend up to a number and a budget, and runs their calls in turn. A
/// session's sequences, each with a KV cache of its own, come with their first rows.
/// Thread-safe: while a call computes, others may open and close sessions and ask for figures.
class SessionTable {
 public:
  struct Limits {
    int sessions = 16;
    std::int64_t kv_bytes = std::int64_t{8} << 30;  ///< of all sessions together
    std::chrono::milliseconds idle{60'000};  ///< after which another sequence's need may drop one
    int sequences = 256;                     ///< of one session
  };
  struct Entry;

  /// An open session; closes (and frees its caches) on destruction. The table must outlive it.
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

  /// Runs a call that passed infer_outputs, as Backend::execute does, on the session's sequences
  /// that it names. One that the session does not hold is made if its rows are the first, else
  /// Error(kSessionLost) is thrown; Error(kResourceExhausted) if the session holds its most. If the
  /// call would take all caches past the budget, sequences of any session that have been idle for
  /// the limit's time are dropped, the longest idle first; if that would not be enough, none is
  /// dropped and Error(kResourceExhausted) thrown.
  void execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs);

  /// Frees what the session holds of a sequence, if anything. None of the session's calls may be
  /// under way.
  void end_sequence(Handle& session, std::uint32_t sequence);

  /// Lets the backend rest if no session is open.
  void rest() noexcept;

  [[nodiscard]] int size() const;
  [[nodiscard]] std::int64_t kv_bytes() const;

 private:
  struct Sequence;
  using Sequences = std::array<BackendSequence*, kMaxRanges>;

  Sequences admit(Entry& session, const Call& call);
  void make_room(const Entry& session, const Call& call);
  void settle(Entry& session, const Call& call) noexcept;

  Backend& backend_;
  const Limits limits_;
  /// Held for a call's whole length; taken before mutex_. Caches change only under it.
  std::mutex turn_;
  /// Guards entries_ and what each holds; never held while the backend computes.
  mutable std::mutex mutex_;
  std::list<std::unique_ptr<Entry>> entries_;
};

}  // namespace airlock
