#include "airlock/worker/session_table.h"

#include <numeric>
#include <utility>

#include "airlock/core/error.h"

namespace airlock {

using Clock = std::chrono::steady_clock;

struct SessionTable::Entry {
  std::unique_ptr<BackendSession> session;
  Clock::time_point last_used = Clock::now();
  std::int64_t kv_bytes = 0;  ///< of `session` when its last call ended
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
  SessionTable* table = std::exchange(table_, nullptr);
  if (table == nullptr) return;
  std::list<std::unique_ptr<Entry>> closed;  // frees its cache after the lock is gone
  const std::lock_guard lock(table->mutex_);
  closed.splice(closed.end(), table->entries_, entry_);
}

SessionTable::SessionTable(Backend& backend, const Limits& limits)
    : backend_(backend), limits_(limits) {}

SessionTable::~SessionTable() = default;

SessionTable::Handle SessionTable::open() {
  auto entry = std::make_unique<Entry>();
  entry->session = backend_.open_session();
  const std::lock_guard lock(mutex_);
  require(static_cast<int>(entries_.size()) < limits_.sessions, ErrorCode::kResourceExhausted,
          "all {} sessions are taken; try again later or raise --max-sessions", limits_.sessions);
  entries_.push_back(std::move(entry));
  Handle handle;
  handle.entry_ = std::prev(entries_.end());
  handle.table_ = this;
  return handle;
}

void SessionTable::execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
                           std::span<const Tensor> outputs) {
  const std::lock_guard turn(turn_);
  Entry& entry = **session.entry_;
  make_room(entry, call);
  // A call that fails may have grown the cache as well.
  struct Settle {
    std::mutex& mutex;
    Entry& entry;
    ~Settle() {
      const std::lock_guard lock(mutex);
      entry.kv_bytes = entry.session->kv_bytes();
      entry.last_used = Clock::now();
    }
  } const settle{mutex_, entry};
  backend_.execute(call, *entry.session, inputs, outputs);
}

void SessionTable::make_room(const Entry& session, const Call& call) {
  const std::int64_t after = session.session->kv_bytes_after(call);
  if (after <= session.kv_bytes) return;
  require(
      session.kv_bytes > 0 || call.ranges[0].position == 0, ErrorCode::kSessionLost,
      "{} continues at position {}, but the worker holds no KV cache of this session (any more); "
      "start over",
      call, call.ranges[0].position);
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  std::int64_t others = 0;
  std::int64_t droppable = 0;
  const auto can_drop = [&](const Entry& entry) {
    return &entry != &session && entry.kv_bytes > 0 && now - entry.last_used >= limits_.idle;
  };
  for (const auto& entry : entries_) {
    if (entry.get() != &session) others += entry->kv_bytes;
    if (can_drop(*entry)) droppable += entry->kv_bytes;
  }
  // Nobody loses a cache for a call that is refused all the same.
  require(after <= limits_.kv_bytes - (others - droppable), ErrorCode::kResourceExhausted,
          "{} needs {} bytes of KV cache, other sessions hold {} and the budget is {}; shorten "
          "the context or raise --kv-budget",
          call, after, others, limits_.kv_bytes);
  while (after > limits_.kv_bytes - others) {
    Entry* idlest = nullptr;
    for (const auto& entry : entries_) {
      if (can_drop(*entry) && (idlest == nullptr || entry->last_used < idlest->last_used)) {
        idlest = entry.get();
      }
    }
    idlest->session = backend_.open_session();
    others -= std::exchange(idlest->kv_bytes, 0);
  }
}

int SessionTable::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(entries_.size());
}

std::int64_t SessionTable::kv_bytes() const {
  const std::lock_guard lock(mutex_);
  return std::accumulate(entries_.begin(), entries_.end(), std::int64_t{0},
                         [](std::int64_t total, const std::unique_ptr<Entry>& entry) {
                           return total + entry->kv_bytes;
                         });
}

}  // namespace airlock
