#include "airlock/worker/session_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "airlock/core/error.h"

namespace airlock {

using Clock = std::chrono::steady_clock;

struct SessionTable::Entry {
  std::unique_ptr<BackendSession> session;
  Clock::time_point last_used = Clock::now();
};

SessionTable::Handle::Handle(Handle&& other) noexcept {
  *this = std::move(other);
}

SessionTable::Handle& SessionTable::Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    close();
    table_ = std::exchange(other.table_, nullptr);
    entry_ = other.entry_;
  }
  return *this;
}

void SessionTable::Handle::close() noexcept {
  if (table_ == nullptr) return;
  const std::lock_guard lock(table_->mutex_);
  table_->entries_.erase(entry_);
  table_ = nullptr;
}

SessionTable::SessionTable(Backend& backend, const Limits& limits)
    : backend_(backend), limits_(limits) {}

SessionTable::~SessionTable() = default;

SessionTable::Handle SessionTable::open() {
  const std::lock_guard lock(mutex_);
  require(static_cast<int>(entries_.size()) < limits_.sessions, ErrorCode::kResourceExhausted,
          "all {} sessions are taken; try again later or raise --max-sessions", limits_.sessions);
  entries_.push_back(std::make_unique<Entry>());
  Handle handle;
  handle.entry_ = std::prev(entries_.end());
  handle.table_ = this;
  entries_.back()->session = backend_.open_session();
  return handle;
}

void SessionTable::execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
                           std::span<const Tensor> outputs) {
  const std::lock_guard lock(mutex_);
  Entry& entry = **session.entry_;
  make_room(entry, call);
  backend_.execute(call, *entry.session, inputs, outputs);
  entry.last_used = Clock::now();
}

void SessionTable::make_room(const Entry& session, const Call& call) {
  const std::int64_t own = session.session->kv_bytes();
  const std::int64_t after = session.session->kv_bytes_after(call);
  if (after <= own) return;
  const auto over_budget = [&] { return kv_bytes_locked() - own + after > limits_.kv_bytes; };
  while (over_budget()) {
    Entry* idlest = nullptr;
    for (const auto& entry : entries_) {
      if (entry.get() == &session || entry->session->kv_bytes() == 0) continue;
      if (Clock::now() - entry->last_used < limits_.idle) continue;
      if (idlest == nullptr || entry->last_used < idlest->last_used) idlest = entry.get();
    }
    require(idlest != nullptr, ErrorCode::kResourceExhausted,
            "{} needs {} bytes of KV cache, other sessions hold {} and the budget is {}; shorten "
            "the context or raise --kv-budget",
            call, after, kv_bytes_locked() - own, limits_.kv_bytes);
    idlest->session = backend_.open_session();
  }
}

int SessionTable::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(entries_.size());
}

std::int64_t SessionTable::kv_bytes() const {
  const std::lock_guard lock(mutex_);
  return kv_bytes_locked();
}

std::int64_t SessionTable::kv_bytes_locked() const {
  return std::accumulate(entries_.begin(), entries_.end(), std::int64_t{0},
                         [](std::int64_t total, const std::unique_ptr<Entry>& entry) {
                           return total + (entry->session ? entry->session->kv_bytes() : 0);
                         });
}

}  // namespace airlock
