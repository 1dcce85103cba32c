// Whose call is next on a backend that runs one at a time: turns weighted by what they cost.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace airlock {

/// Fair queueing by virtual finish (Demers, Keshav and Shenker, SIGCOMM 1989). A request starts, in
/// virtual time, when its flow's last one ended, or now if that is past, and ends its cost later;
/// the first to end is next, the first to come among equals. Now is the start of the latest to be
/// served (as in start-time fair queueing), so that idle flows save nothing up. What flows that
/// always ask get differs by a request of each; a small request of a flow that had no more than its
/// share waits for the running one alone, and a large one until others had as much. Not
/// thread-safe; knows no clock.
class FairOrder {
 public:
  /// Of one session: the end of its last request, in virtual time.
  struct Flow {
    double end = 0;
  };
  /// A request that waits; outlives its wait.
  struct Waiting {
    double start = 0;
    double end = 0;
    std::uint64_t number = 0;
  };

  /// `cost` is above 0, in any unit that all use.
  void arrive(Flow& flow, double cost, Waiting& waiting);
  /// Takes the next one out; nullptr: none waits.
  Waiting* next() noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }

 private:
  std::vector<Waiting*> waiting_;
  double now_ = 0;  ///< virtual time
  std::uint64_t arrived_ = 0;
};

/// Gives one thread after another its turn, in FairOrder. Thread-safe; allocates only when more
/// wait than ever before.
class TurnQueue {
 public:
  using Flow = FairOrder::Flow;

  /// Ends on destruction.
  class [[nodiscard]] Turn {
   public:
    explicit Turn(TurnQueue& queue) noexcept : queue_(queue) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { queue_.end(); }

   private:
    TurnQueue& queue_;
  };

  /// Waits for a turn of `flow`, which has no other turn nor waits for one.
  Turn take(Flow& flow, double cost);
  /// True while several flows take turns: one waits, or had one of the last kRecent turns.
  [[nodiscard]] bool is_shared() const;
  /// Threads that wait.
  [[nodiscard]] std::size_t waiting() const;

 private:
  static constexpr std::uint64_t kRecent = 64;

  struct Sleeper : FairOrder::Waiting {
    std::condition_variable called;
    bool is_called = false;
  };

  void end() noexcept;

  mutable std::mutex mutex_;
  FairOrder order_;
  bool taken_ = false;
  const Flow* holder_ = nullptr;   ///< of the last turn; never followed
  std::uint64_t turns_ = kRecent;  ///< given so far, and some
  std::uint64_t last_change_ = 0;  ///< the turn before which another flow had one
};

}  // namespace airlock
