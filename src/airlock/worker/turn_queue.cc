#include "airlock/worker/turn_queue.h"

#include <algorithm>
#include <tuple>

namespace airlock {

void FairOrder::arrive(Flow& flow, double cost, Waiting& waiting) {
  waiting_.push_back(&waiting);
  waiting.start = std::max(now_, flow.end);
  waiting.number = arrived_++;
  flow.end = waiting.end = waiting.start + cost;
}

FairOrder::Waiting* FairOrder::next() noexcept {
  const auto first =
      std::min_element(waiting_.begin(), waiting_.end(), [](const Waiting* a, const Waiting* b) {
        return std::tie(a->end, a->number) < std::tie(b->end, b->number);
      });
  if (first == waiting_.end()) return nullptr;
  Waiting* const chosen = *first;
  *first = waiting_.back();
  waiting_.pop_back();
  now_ = std::max(now_, chosen->start);
  return chosen;
}

TurnQueue::Turn TurnQueue::take(Flow& flow, double cost) {
  std::unique_lock lock(mutex_);
  Sleeper own;
  order_.arrive(flow, cost, own);
  if (taken_) {
    own.called.wait(lock, [&] { return own.is_called; });
  } else {
    (void)order_.next();
    taken_ = true;
  }
  ++turns_;
  if (holder_ != nullptr && holder_ != &flow) last_change_ = turns_;
  holder_ = &flow;
  return Turn(*this);
}

// The turn is handed over, so that no thread that comes later takes it first.
void TurnQueue::end() noexcept {
  const std::lock_guard lock(mutex_);
  auto* const next = static_cast<Sleeper*>(order_.next());
  taken_ = next != nullptr;
  if (next == nullptr) return;
  next->is_called = true;
  next->called.notify_one();
}

bool TurnQueue::is_shared() const {
  const std::lock_guard lock(mutex_);
  return order_.size() > 0 || turns_ - last_change_ < kRecent;
}

std::size_t TurnQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace airlock
