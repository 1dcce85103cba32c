#include "airlock/core/pipeline.h"

#include <utility>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"

namespace airlock {

Pipeline::Pipeline(std::vector<Work> stages, std::function<void()> close, std::uint64_t first)
    : stages_(std::move(stages)),
      close_(std::move(close)),
      done_(stages_.size() + 1, first),
      working_(stages_.size()) {
  try {
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      threads_.emplace_back([this, stage] { run(stage); });
    }
  } catch (...) {
    end(nullptr);
    join();
    throw;
  }
}

Pipeline::~Pipeline() {
  close_();
  end(nullptr);
  join();
}

void Pipeline::submit() {
  {
    const std::lock_guard lock(mutex_);
    ++done_.front();
  }
  changed_.notify_all();
}

void Pipeline::wait(std::uint64_t item) {
  std::unique_lock lock(mutex_);
  // A stage still at work may use what the caller takes back when this throws.
  changed_.wait(lock, [&] { return done_.back() > item || working_ == 0; });
  if (done_.back() > item) return;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  fail(ErrorCode::kConnectionLost, "the session has ended");
}

void Pipeline::run(std::size_t stage) {
  flush_denormals();
  try {
    work(stage);
  } catch (...) {
    end(std::current_exception());
    close_();
  }
  {
    const std::lock_guard lock(mutex_);
    --working_;
  }
  changed_.notify_all();
}

void Pipeline::work(std::size_t stage) {
  while (true) {
    std::uint64_t item = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return done_[stage + 1] < done_[stage] || ended_; });
      if (ended_) return;
      item = done_[stage + 1];
    }
    stages_[stage](item);
    {
      const std::lock_guard lock(mutex_);
      ++done_[stage + 1];
    }
    changed_.notify_all();
  }
}

void Pipeline::end(std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    // Other stages fail because of the first: only the first says why.
    if (!ended_) error_ = std::move(error);
    ended_ = true;
  }
  changed_.notify_all();
}

void Pipeline::join() {
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace airlock
