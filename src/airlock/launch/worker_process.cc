#include "airlock/launch/worker_process.h"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/link/pair.h"

namespace airlock {
namespace {

std::string running_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  require(length > 0, ErrorCode::kIo, "cannot tell which program is running: {}",
          std::strerror(errno));
  return {path.data(), static_cast<std::size_t>(length)};
}

/// Between fork and exec: only calls that are safe there. Returns only if something failed.
void become_worker(const char* program, char* const* arguments, const Fd& connection,
                   pid_t parent) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) return;  // the parent died before the line above
  // A group of its own: the terminal's Ctrl-C is the runner's to handle.
  ::setpgid(0, 0);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (!connection.keep_on_exec()) return;
  ::execv(program, arguments);
}

}  // namespace

WorkerProcess::WorkerProcess(const WorkerProcessOptions& options) {
  LinkPair pair = make_pair(options.transport, options.link);
  const std::string program = options.program.empty() ? running_program() : options.program;
  std::vector<std::string> words = {program, "worker"};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  words.insert(words.end(), {"--serve-fd", std::to_string(pair.peer_fd.get())});
  if (pair.ours->traits().shares_memory) words.emplace_back("--serve-shm");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  require(pid_ >= 0, ErrorCode::kResourceExhausted, "cannot start a worker process: {}",
          std::strerror(errno));
  if (pid_ == 0) {
    become_worker(program.c_str(), arguments.data(), pair.peer_fd, parent);
    ::_exit(127);
  }
  link_ = std::move(pair.ours);
}

WorkerProcess::~WorkerProcess() {
  link_.reset();
  if (ended_) return;
  ::kill(pid_, SIGTERM);
  if (wait_for_end(3000)) return;
  ::kill(pid_, SIGKILL);
  wait_for_end(-1);
}

std::string WorkerProcess::how_it_ended() {
  if (!ended_ && !wait_for_end(500)) return {};
  if (WIFSIGNALED(status_)) return fmt::format("was killed by signal {}", WTERMSIG(status_));
  return fmt::format("exited with status {}", WEXITSTATUS(status_));
}

bool WorkerProcess::wait_for_end(int milliseconds) {
  for (int waited = 0;; waited += 5) {
    const pid_t done = ::waitpid(pid_, &status_, milliseconds < 0 ? 0 : WNOHANG);
    if (done == pid_ || (done < 0 && errno == ECHILD)) return ended_ = true;
    if (milliseconds >= 0 && waited >= milliseconds) return false;
    if (milliseconds >= 0) ::usleep(5000);
  }
}

}  // namespace airlock
