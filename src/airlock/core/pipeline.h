// Threads that pass numbered items from one to the next: how calls overlap on both sides of a link.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace airlock {

/// Runs each stage on a thread of its own: stage s works on item n once stage s - 1 has done so and
/// stage s has done n - 1. Items are numbers; what they stand for is the caller's. The first error
/// of a stage ends all. Stages flush denormals (core/denormals.h). submit(), wait() and the
/// destructor are for one thread. Nothing is allocated after construction.
class Pipeline {
 public:
  using Work = std::function<void(std::uint64_t item)>;

  /// `close` makes work under way fail soon; it is called when a stage fails and at the end, from
  /// any thread, any number of times. `first` is the number of the first item. Throws
  /// std::system_error if there is no thread to be had.
  Pipeline(std::vector<Work> stages, std::function<void()> close, std::uint64_t first = 0);
  /// Calls `close` and joins; items under way may stay undone.
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Lets the next item in.
  void submit();
  /// Waits until the last stage has done `item`. If a stage failed, waits until none is at work and
  /// throws its error, once; Error(kConnectionLost) from then on.
  void wait(std::uint64_t item);

 private:
  void run(std::size_t stage);
  void work(std::size_t stage);
  void end(std::exception_ptr error);
  void join();

  const std::vector<Work> stages_;
  const std::function<void()> close_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint64_t> done_;  ///< items submitted, then items each stage has done
  std::size_t working_;              ///< stages whose thread has not ended
  bool ended_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace airlock
