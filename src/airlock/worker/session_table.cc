#include "airlock/worker/session_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/ops/call_cost.h"
#include "airlock/worker/row_slices.h"

namespace airlock {

using Clock = std::chrono::steady_clock;

struct SessionTable::Sequence {
  std::unique_ptr<BackendSequence> state;
  Clock::time_point last_used = Clock::now();
  std::int64_t kv_bytes = 0;  ///< of `state` when its last call ended
  bool in_call = false;
};

struct SessionTable::Entry {
  TurnQueue::Flow flow;
  Evict evict;
  bool evicted = false;
  int under_way = 1;  ///< pieces of work
  Clock::time_point last_call = Clock::now();
  std::map<std::uint32_t, Sequence> sequences;

  [[nodiscard]] std::int64_t kv_bytes() const {
    std::int64_t bytes = 0;
    for (const auto& [id, sequence] : sequences) bytes += sequence.kv_bytes;
    return bytes;
  }
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
  table->freed_.notify_one();
}

SessionTable::SessionTable(Backend& backend, const Limits& limits)
    : backend_(backend), limits_(limits) {}

SessionTable::~SessionTable() = default;

SessionTable::Handle SessionTable::open(Evict evict) {
  auto entry = std::make_unique<Entry>();
  entry->evict = std::move(evict);
  std::unique_lock lock(mutex_);
  const auto is_full = [this] { return open_sessions() >= limits_.sessions; };
  freed_.wait_for(lock, limits_.place_wait, [&] { return !is_full() || idlest() != nullptr; });
  if (is_full()) evict_idlest();
  entries_.push_back(std::move(entry));
  Handle handle;
  handle.entry_ = std::prev(entries_.end());
  handle.table_ = this;
  return handle;
}

int SessionTable::open_sessions() const {
  return static_cast<int>(std::count_if(entries_.begin(), entries_.end(),
                                        [](const auto& entry) { return !entry->evicted; }));
}

SessionTable::Entry* SessionTable::idlest() const {
  const auto now = Clock::now();
  Entry* found = nullptr;
  for (const auto& entry : entries_) {
    if (entry->evicted || entry->under_way > 0 || !entry->evict) continue;
    if (now - entry->last_call < limits_.session_idle) continue;
    if (found == nullptr || entry->last_call < found->last_call) found = entry.get();
  }
  return found;
}

void SessionTable::evict_idlest() {
  Entry* const entry = idlest();
  require(entry != nullptr, ErrorCode::kResourceExhausted,
          "all {} sessions are taken; try again later or raise --max-sessions", limits_.sessions);
  entry->evicted = true;
  entry->evict();
}

void SessionTable::work_begins(Handle& session) {
  const std::lock_guard lock(mutex_);
  require(!(*session.entry_)->evicted, ErrorCode::kSessionLost,
          "it was without a call for long, and another runner needed its place");
  ++(*session.entry_)->under_way;
}

void SessionTable::work_ends(Handle& session) noexcept {
  const std::lock_guard lock(mutex_);
  --(*session.entry_)->under_way;
}

void SessionTable::execute(Handle& session, const Call& call, std::span<const ConstTensor> inputs,
                           std::span<const Tensor> outputs) {
  Entry& entry = **session.entry_;
  {
    const std::lock_guard lock(mutex_);
    entry.last_call = Clock::now();
  }
  if (const std::int64_t rows = rows_apart(call); rows > 0) {
    return execute_rows(entry, call, inputs, outputs, rows);
  }
  const TurnQueue::Turn turn = turns_.take(entry.flow, cost_of_turn(call));
  if (!keeps_keys(call.op)) return backend_.execute(call, {}, inputs, outputs);
  // A call that is refused or fails may have made sequences or let caches grow as well.
  const struct Settle {
    SessionTable& table;
    Entry& entry;
    const Call& call;
    ~Settle() { table.settle(entry, call); }
  } settle{*this, entry, call};
  const Sequences sequences = admit(entry, call);
  const auto count = static_cast<std::size_t>(call.ranges.size());
  backend_.execute(call, std::span(sequences).first(count), inputs, outputs);
}

double SessionTable::cost_of_turn(const Call& call) const {
  const double cost = call_cost(backend_.config(), call);
  require(cost <= limits_.turn_cost, ErrorCode::kResourceExhausted,
          "{} would hold the worker for {:.3g} TFLOP, at most {:.3g} are allowed; use --chunk or "
          "raise --max-turn",
          call, cost / 1e12, limits_.turn_cost / 1e12);
  return cost;
}

void SessionTable::execute_rows(Entry& session, const Call& call,
                                std::span<const ConstTensor> inputs,
                                std::span<const Tensor> outputs, std::int64_t rows) {
  const std::int64_t most = backend_.rows_of_a_turn();
  RowSlice slice;
  for (std::int64_t first = 0; first < rows;) {
    const bool fine = is_ring(call.op) && turns_.is_shared();
    const std::int64_t count =
        std::min(rows - first, fine ? std::min(most, kSharedTurnRows) : most);
    cut_rows(call, inputs, outputs, first, count, slice);
    const TurnQueue::Turn turn = turns_.take(session.flow, cost_of_turn(slice.call));
    backend_.execute(slice.call, {}, std::span(slice.inputs).first(inputs.size()),
                     std::span(slice.outputs).first(outputs.size()));
    first += count;
  }
}

SessionTable::Sequences SessionTable::admit(Entry& session, const Call& call) {
  const std::lock_guard lock(mutex_);
  std::size_t held = session.sequences.size();
  for (const RowRange& range : call.ranges) {
    if (session.sequences.contains(range.sequence)) continue;
    require(range.position == 0, ErrorCode::kSessionLost,
            "{} continues sequence {} at position {}, but the worker holds no KV cache of it (any "
            "more); start it over",
            call, range.sequence, range.position);
    ++held;
  }
  require(held <= static_cast<std::size_t>(limits_.sequences), ErrorCode::kResourceExhausted,
          "{} would make {} sequences of this session, at most {} are allowed; end some or raise "
          "--max-sequences",
          call, held, limits_.sequences);
  Sequences states{};
  std::size_t at = 0;
  for (const RowRange& range : call.ranges) {
    Sequence& sequence = session.sequences[range.sequence];
    sequence.in_call = true;
    if (!sequence.state) sequence.state = backend_.open_sequence();
    states[at++] = sequence.state.get();
  }
  make_room(session, call);
  return states;
}

void SessionTable::make_room(const Entry& session, const Call& call) {
  std::int64_t before = 0;
  std::int64_t after = 0;
  for (const RowRange& range : call.ranges) {
    const Sequence& sequence = session.sequences.at(range.sequence);
    before += sequence.kv_bytes;
    after += sequence.state->kv_bytes_with(call.layer, range.position + range.tokens);
  }
  if (after <= before) return;
  const auto now = Clock::now();
  const auto can_drop = [&](const Sequence& sequence) {
    return !sequence.in_call && now - sequence.last_used >= limits_.idle;
  };
  std::int64_t others = 0;
  std::int64_t droppable = 0;
  for (const auto& entry : entries_) {
    for (const auto& [id, sequence] : entry->sequences) {
      if (!sequence.in_call) others += sequence.kv_bytes;
      if (can_drop(sequence)) droppable += sequence.kv_bytes;
    }
  }
  // Nobody loses a cache for a call that is refused all the same.
  require(after <= limits_.kv_bytes - (others - droppable), ErrorCode::kResourceExhausted,
          "{} needs {} bytes of KV cache, other sequences hold {} and the budget is {}; shorten "
          "the context or raise --kv-budget",
          call, after, others, limits_.kv_bytes);
  while (after > limits_.kv_bytes - others) {
    Entry* owner = nullptr;
    std::map<std::uint32_t, Sequence>::iterator idlest;
    for (const auto& entry : entries_) {
      for (auto at = entry->sequences.begin(); at != entry->sequences.end(); ++at) {
        if (!can_drop(at->second)) continue;
        if (owner != nullptr && idlest->second.last_used <= at->second.last_used) continue;
        owner = entry.get();
        idlest = at;
      }
    }
    others -= idlest->second.kv_bytes;
    owner->sequences.erase(idlest);
  }
}

void SessionTable::settle(Entry& session, const Call& call) noexcept {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  for (const RowRange& range : call.ranges) {
    const auto found = session.sequences.find(range.sequence);
    if (found == session.sequences.end()) continue;
    Sequence& sequence = found->second;
    sequence.kv_bytes = sequence.state ? sequence.state->kv_bytes() : 0;
    sequence.last_used = now;
    sequence.in_call = false;
    if (sequence.kv_bytes == 0) session.sequences.erase(found);
  }
}

void SessionTable::end_sequence(Handle& session, std::uint32_t sequence) {
  std::map<std::uint32_t, Sequence>::node_type ended;  // freed after the lock is gone
  const std::lock_guard lock(mutex_);
  ended = (*session.entry_)->sequences.extract(sequence);
}

void SessionTable::rest() noexcept {
  try {
    TurnQueue::Flow nobody;
    const TurnQueue::Turn turn = turns_.take(nobody, 1);
    if (size() == 0) backend_.rest();
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no memory to wait in; later
  }
}

int SessionTable::size() const {
  const std::lock_guard lock(mutex_);
  return open_sessions();
}

std::int64_t SessionTable::kv_bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t bytes = 0;
  for (const auto& entry : entries_) bytes += entry->kv_bytes();
  return bytes;
}

std::int64_t SessionTable::kv_bytes(const Handle& session) const {
  const std::lock_guard lock(mutex_);
  return (*session.entry_)->kv_bytes();
}

}  // namespace airlock
