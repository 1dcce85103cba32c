// The sessions of a worker, the sequences each holds, and the budget of KV cache they share.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/turn_queue.h"

namespace airlock {

/// Opens sessions on one backend up to a number and a budget, and runs their calls in turn. A
/// session's sequences, each with a KV cache of its own, come with their first rows.
/// Turns are shared out by call_cost (FairOrder), and calls of many rows that may be computed apart
/// take a turn for every so many: a small call waits for one such turn, whoever floods the worker.
/// How plain products are cut depends on the call alone, so that their bits do; the ring's are
/// exact however they are cut. Thread-safe: while a call computes, others may open and close
/// sessions and ask for figures.
class SessionTable {
 public:
  struct Limits {
    int sessions = 16;
    std::int64_t kv_bytes = std::int64_t{8} << 30;  ///< of all sessions together
    std::chrono::milliseconds idle{60'000};  ///< after which another sequence's need may drop one
    int sequences = 256;                     ///< of one session
    double turn_cost = 16e12;                ///< call_cost of one turn at most
    std::chrono::milliseconds session_idle{300'000};  ///< after which another may take its place
    /// For a place where none is free: a worker sees a moment late that a runner has gone.
    std::chrono::milliseconds place_wait{250};
  };
  /// Rows of a ring product in one turn while other sessions take turns.
  static constexpr std::int64_t kSharedTurnRows = 64;
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

  /// Ends a session from outside: makes its owner close the handle soon. Must not call the table.
  using Evict = std::function<void()>;

  /// The session begins in the middle of work, which work_ends ends. In a full table it takes the
  /// place of the session that has been without a call for longest, if that is the limit's time or
  /// longer, none of its work is under way and it has an `evict`, which is called meanwhile. Throws
  /// Error(kResourceExhausted) if there is none, nor a free place within place_wait.
  Handle open(Evict evict = {});
  /// Around whatever is done for a session, from a request's first byte to its answer's last; pairs
  /// may overlap. Throws Error(kSessionLost) for a session that was evicted.
  void work_begins(Handle& session);
  void work_ends(Handle& session) noexcept;

  /// Runs a call that passed infer_outputs, as Backend::execute does, on the session's sequences
  /// that it names. One that the session does not hold is made if its rows are the first, else
  /// Error(kSessionLost) is thrown; Error(kResourceExhausted) if the session holds its most. If the
  /// call would take all caches past the budget, sequences of any session that have been idle for
  /// the limit's time are dropped, the longest idle first; if that would not be enough, none is
  /// dropped and Error(kResourceExhausted) thrown. So it is for a call that would hold the backend
  /// for a turn past the limit's cost.
  void execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs);

  /// Frees what the session holds of a sequence, if anything. None of the session's calls may be
  /// under way.
  void end_sequence(Handle& session, std::uint32_t sequence);

  /// Lets the backend rest if no session is open.
  void rest() noexcept;

  /// Open sessions that were not evicted.
  [[nodiscard]] int size() const;
  /// Of all sessions, and of one.
  [[nodiscard]] std::int64_t kv_bytes() const;
  [[nodiscard]] std::int64_t kv_bytes(const Handle& session) const;
  /// Calls that wait for their turn.
  [[nodiscard]] std::size_t waiting() const { return turns_.waiting(); }

 private:
  struct Sequence;
  using Sequences = std::array<BackendSequence*, kMaxRanges>;

  Sequences admit(Entry& session, const Call& call);
  void make_room(const Entry& session, const Call& call);
  void settle(Entry& session, const Call& call) noexcept;
  /// The one that may lose its place; nullptr: none. With the lock held, like evict_idlest.
  [[nodiscard]] Entry* idlest() const;
  void evict_idlest();
  [[nodiscard]] int open_sessions() const;
  [[nodiscard]] double cost_of_turn(const Call& call) const;
  void execute_rows(Entry& session, const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs, std::int64_t rows);

  Backend& backend_;
  const Limits limits_;
  /// A turn is held while the backend computes, and taken before mutex_. Caches change only in one.
  TurnQueue turns_;
  /// Guards entries_ and what each holds; never held while the backend computes.
  mutable std::mutex mutex_;
  std::condition_variable freed_;  ///< a place
  std::list<std::unique_ptr<Entry>> entries_;
};

}  // namespace airlock
