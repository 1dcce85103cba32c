// How many bytes a process may hold for its work: the blocks of all pools and shared memory count,
// whoever asked for them, so that what peers can make a process take is bounded in one place.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace airlock {

/// Memory that is counted and that nobody uses now.
class IdleMemory {
 public:
  IdleMemory(const IdleMemory&) = delete;
  IdleMemory& operator=(const IdleMemory&) = delete;
  /// Gives `bytes` back to the system, or all it has, the longest idle first; returns how many.
  /// From any thread.
  virtual std::int64_t give_back(std::int64_t bytes) noexcept = 0;

 protected:
  IdleMemory() = default;
  ~IdleMemory() = default;
};

/// Bytes taken before memory is, and given back after it. Thread-safe.
class MemoryBudget {
 public:
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  explicit MemoryBudget(std::int64_t limit = kUnlimited) noexcept : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// Counts `bytes`, of `what` (in errors). Where they do not fit, idle memory is given back first.
  /// Throws Error(kResourceExhausted) if that is not enough, or if the address space that
  /// RLIMIT_AS leaves would not hold them and what threads and libraries need (room_for).
  void take(std::int64_t bytes, std::string_view what);
  /// The opposite of take.
  void give(std::int64_t bytes) noexcept { used_ -= bytes; }

  /// Limits it to `bytes` more than are held now, which stay.
  void allow_more(std::int64_t bytes) noexcept;
  [[nodiscard]] std::int64_t limit() const noexcept { return limit_; }
  /// Idle blocks included.
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }

  /// Memory that may be asked for its idle part until it is removed. Throws std::bad_alloc.
  void add(IdleMemory& idle);
  void remove(IdleMemory& idle) noexcept;
  /// Asks all for `bytes` of idle memory; returns how many came.
  std::int64_t reclaim(std::int64_t bytes) noexcept;

 private:
  [[nodiscard]] bool try_take(std::int64_t bytes) noexcept;

  std::atomic<std::int64_t> limit_;
  std::atomic<std::int64_t> used_{0};
  std::mutex mutex_;  ///< taken before any of a pool's
  std::vector<IdleMemory*> idle_;
};

/// What a worker may take beyond its weights unless it is told: 3/4 of available_memory(). The rest
/// is for what is not counted (threads, oneDNN's code, messages) and for others on the machine.
[[nodiscard]] std::int64_t default_memory();

/// The budget of this process, without limit until somebody sets one. Never destroyed.
MemoryBudget& process_budget() noexcept;

/// Bytes of a budget for as long as this lives. Movable.
class BudgetShare {
 public:
  BudgetShare() = default;
  /// Throws as MemoryBudget::take. The budget must outlive the share.
  BudgetShare(MemoryBudget& budget, std::int64_t bytes, std::string_view what);
  BudgetShare(BudgetShare&& other) noexcept { *this = std::move(other); }
  BudgetShare& operator=(BudgetShare&& other) noexcept;
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { release(); }

  /// The bytes stay counted; whoever frees them gives them back to the budget.
  void keep() noexcept { budget_ = nullptr; }

 private:
  void release() noexcept;

  MemoryBudget* budget_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// True if `bytes` more of address space leave enough under RLIMIT_AS for what cannot be refused
/// once it has begun: stacks of a team of threads, oneDNN's code, the heap's own growth.
[[nodiscard]] bool room_for(std::int64_t bytes) noexcept;

}  // namespace airlock
