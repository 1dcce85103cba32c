// A file descriptor with an owner.
#pragma once

#include <utility>

namespace airlock {

/// Owns a file descriptor and closes it. Movable. -1: owns nothing.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor to the caller, who closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes it now.
  void reset() noexcept;
  /// Lets a program started by exec keep the descriptor, past close_on_exec_from(). Call it between
  /// fork and exec, in the child, so that no other child gets it;
  /// posix_spawn_file_actions_adddup2(fd, fd) does the same. Async-signal-safe. False if the system
  /// refuses.
  [[nodiscard]] bool keep_on_exec() const noexcept;

 private:
  int fd_ = -1;
};

/// Has exec close every descriptor from `first` on, whoever opened it and however: a child gets
/// what is named to it and nothing else. Call it between fork and exec, in the child.
/// Async-signal-safe.
void close_on_exec_from(int first) noexcept;

}  // namespace airlock
