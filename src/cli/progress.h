// Progress of long work on stderr: a bar on a terminal, a line at the beginning and the end
// elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace airlock {

/// Not thread-safe.
class Progress {
 public:
  /// Says what begins. `quiet` prints nothing at all.
  explicit Progress(std::string label, bool quiet = false);
  /// Ends the line, if an error ends the work early.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Redraws the bar, ten times a second at most.
  void update(std::int64_t done, std::int64_t total);
  /// The work is complete: says how long it took.
  void finish();
  /// update() as the callback that the library takes.
  std::function<void(std::int64_t, std::int64_t)> callback() {
    return [this](std::int64_t done, std::int64_t total) { update(done, total); };
  }

 private:
  void draw(std::int64_t done, std::int64_t total);

  std::string label_;
  bool quiet_;
  bool terminal_;
  bool open_ = true;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace airlock
