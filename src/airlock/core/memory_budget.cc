#include "airlock/core/memory_budget.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"

namespace airlock {

bool room_for(std::int64_t bytes) noexcept {
  constexpr std::int64_t kSpare = std::int64_t{16} << 20;
  const std::int64_t left = address_space_left();
  return left >= kSpare && bytes <= left - kSpare;
}

std::int64_t default_memory() {
  return available_memory() / 4 * 3;
}

void MemoryBudget::allow_more(std::int64_t bytes) noexcept {
  const std::int64_t used = used_;
  limit_ = bytes > kUnlimited - used ? kUnlimited : used + bytes;
}

bool MemoryBudget::try_take(std::int64_t bytes) noexcept {
  std::int64_t used = used_;
  do {
    if (used > limit_ - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

void MemoryBudget::take(std::int64_t bytes, std::string_view what) {
  if (!room_for(bytes)) {
    reclaim(kUnlimited);
    require(room_for(bytes), ErrorCode::kResourceExhausted,
            "no memory for {} bytes of {}: RLIMIT_AS leaves {} bytes of address space", bytes, what,
            address_space_left());
  }
  if (try_take(bytes)) return;
  // Others may take what was given back: as long as something comes, it is worth another look.
  while (reclaim(std::max<std::int64_t>(used_ - (limit_ - bytes), 1)) > 0) {
    if (try_take(bytes)) return;
  }
  require(
      try_take(bytes), ErrorCode::kResourceExhausted,
      "no memory for {} bytes of {}: {} of the budget of {} bytes are in use; ask for less at a "
      "time, try again later or raise the worker's --memory",
      bytes, what, used(), limit());
}

void MemoryBudget::add(IdleMemory& idle) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(&idle);
}

void MemoryBudget::remove(IdleMemory& idle) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(idle_, &idle);
}

std::int64_t MemoryBudget::reclaim(std::int64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  std::int64_t came = 0;
  for (IdleMemory* idle : idle_) {
    if (came >= bytes) break;
    came += idle->give_back(bytes - came);
  }
  return came;
}

MemoryBudget& process_budget() noexcept {
  // Pools that end with the process still give back to it.
  static auto* const budget = new MemoryBudget;
  return *budget;
}

BudgetShare::BudgetShare(MemoryBudget& budget, std::int64_t bytes, std::string_view what) {
  budget.take(bytes, what);
  budget_ = &budget;
  bytes_ = bytes;
}

BudgetShare& BudgetShare::operator=(BudgetShare&& other) noexcept {
  if (this != &other) {
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void BudgetShare::release() noexcept {
  if (budget_ != nullptr) budget_->give(bytes_);
  budget_ = nullptr;
}

}  // namespace airlock
