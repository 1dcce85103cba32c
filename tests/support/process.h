// Runs the airlock program as a user would, and looks at what it leaves behind.
#pragma once

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/paths.h"

namespace airlock::testing {

inline std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Polls until `condition` holds; false after half a minute, far beyond what anything here takes.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// How a process starts, where a test wants it otherwise.
struct Start {
  std::string program = airlock_program();
  /// Called in the child, its standard streams in place, before the program. Only system calls.
  std::function<void()> prepare = {};
};

/// One run of airlock, its output in files of `dir`. Killed on destruction if it still runs.
class Process {
 public:
  Process(const std::filesystem::path& dir, std::string name, std::vector<std::string> arguments,
          const Start& how = {})
      : out_(dir / (name + ".out")), err_(dir / (name + ".err")) {
    arguments.insert(arguments.begin(), how.program);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      redirect("/dev/null", O_RDONLY, 0);
      redirect(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 1);
      redirect(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 2);
      if (how.prepare) how.prepare();
      ::execv(words[0], words.data());
      ::_exit(127);
    }
  }
  ~Process() {
    if (!ended_) {
      signal(SIGKILL);
      wait();
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Exit code, or minus the signal that ended it.
  int wait() {
    if (!ended_) {
      ::waitpid(pid_, &status_, 0);
      ended_ = true;
    }
    return WIFSIGNALED(status_) ? -WTERMSIG(status_) : WEXITSTATUS(status_);
  }
  void signal(int number) const { ::kill(pid_, number); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string out() const { return file_text(out_); }
  [[nodiscard]] std::string err() const { return file_text(err_); }
  /// Waits until stderr holds `text`.
  [[nodiscard]] bool says(const std::string& text) const {
    return eventually([&] { return err().find(text) != std::string::npos; });
  }
  /// Its first child, or 0. Waits for one to appear.
  [[nodiscard]] pid_t child() const {
    pid_t child = 0;
    const std::string path =
        "/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children";
    (void)eventually([&] { return static_cast<bool>(std::ifstream(path) >> child); });
    return child;
  }

 private:
  static void redirect(const char* path, int flags, int to) {
    const int fd = ::open(path, flags | O_CLOEXEC, 0600);
    ::dup2(fd, to);
  }

  std::filesystem::path out_;
  std::filesystem::path err_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

inline bool is_running(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

}  // namespace airlock::testing
