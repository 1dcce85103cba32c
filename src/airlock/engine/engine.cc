#include "airlock/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "airlock/core/error.h"

namespace airlock {
namespace {
/// Engines may share a session, where a sequence goes by its number alone.
std::atomic<std::uint32_t> g_next_id{0};
}  // namespace

Sequence::Sequence(Sequence&& other) noexcept
    : engine_(std::exchange(other.engine_, nullptr)),
      id_(other.id_),
      stop_(std::move(other.stop_)),
      position_(other.position_) {}

Sequence::~Sequence() {
  if (engine_ != nullptr) engine_->close(id_);
}

void Sequence::rewind(std::int64_t position) {
  require(position >= 0 && position <= position_, ErrorCode::kInvalidArgument,
          "a rewind to token {} of {}", position, position_);
  position_ = position;
}

Engine::Engine(const RunnerModel& model, const Plan& plan, const Endpoint& endpoint,
               EngineOptions options)
    : model_(model),
      options_(std::move(options)),
      executor_(model, plan, endpoint, {options_.progress, options_.stop}) {
  require(options_.max_sequences >= 1, ErrorCode::kInvalidArgument,
          "{} sequences, expected at least 1", options_.max_sequences);
  free_.reserve(static_cast<std::size_t>(options_.max_sequences));
}

Sequence Engine::open(StopToken stop) {
  require(open_ < options_.max_sequences, ErrorCode::kResourceExhausted,
          "{} sequences are open, which is all this engine takes", open_);
  std::uint32_t id = 0;
  if (free_.empty()) {
    id = g_next_id.fetch_add(1, std::memory_order_relaxed);
  } else {
    id = free_.back();
    free_.pop_back();
  }
  ++open_;
  return {*this, id, std::move(stop)};
}

void Engine::close(std::uint32_t id) noexcept {
  try {
    executor_.end_sequence(id);
  } catch (const std::exception&) {
    // The session is over: with it went what the worker kept.
  }
  free_.push_back(id);  // reserved: cannot throw
  --open_;
}

std::span<const float> Engine::run(std::span<const Feed> feeds) {
  require(!feeds.empty() && feeds.size() <= static_cast<std::size_t>(kMaxRanges),
          ErrorCode::kInvalidArgument, "{} sequences in one go, expected 1 to {}", feeds.size(),
          kMaxRanges);
  Batch batch;
  ids_.clear();
  for (const Feed& feed : feeds) {
    feed.sequence->stop_.throw_if_stopped();
    batch.add({feed.sequence->position_, static_cast<std::int64_t>(feed.ids.size()),
               feed.logit_rows, feed.sequence->id_});
    ids_.insert(ids_.end(), feed.ids.begin(), feed.ids.end());
  }
  const auto logits = executor_.run(batch, ids_);
  for (const Feed& feed : feeds) {
    feed.sequence->position_ += static_cast<std::int64_t>(feed.ids.size());
  }
  return logits;
}

std::span<const float> Engine::prefill(Sequence& sequence, std::span<const std::int64_t> ids) {
  const auto tokens = static_cast<std::int64_t>(ids.size());
  passes_ = make_passes(plan(), tokens, 0);
  for (Pass& pass : passes_) {
    pass.position += sequence.position_;
    pass.sequence = sequence.id_;
  }
  const auto logits = executor_.run(passes_, ids, sequence.stop_);
  sequence.position_ += tokens;
  return logits;
}

}  // namespace airlock
