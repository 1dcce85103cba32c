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

constexpr const char* kRunning = "/proc/self/exe";

std::string running_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink(kRunning, path.data(), path.size() - 1);
  require_system(length > 0, ErrorCode::kIo, "cannot tell which program is running");
  return {path.data(), static_cast<std::size_t>(length)};
}

/// Its ends for reading and writing, both closed by exec.
std::pair<Fd, Fd> make_pipe() {
  std::array<int, 2> ends{};
  require_system(::pipe2(ends.data(), O_CLOEXEC) == 0, ErrorCode::kResourceExhausted,
                 "cannot start a worker process");
  return {Fd(ends[0]), Fd(ends[1])};
}

/// The errno that a child wrote; 0: its end was closed, by exec.
int read_error(const Fd& from) {
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(from.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  return got == sizeof error ? error : 0;
}

/// Between fork and exec: only calls that are safe there. Returns only if something failed.
void become_worker(const char* program, char* const* arguments, const Fd& connection,
                   pid_t parent) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(0);  // the parent died before the line above
  // A group of its own: the terminal's Ctrl-C is the runner's to handle.
  ::setpgid(0, 0);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0) return;
  if (::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return;
  close_on_exec_from(STDERR_FILENO + 1);
  if (!connection.keep_on_exec()) return;
  ::execv(program, arguments);
}

}  // namespace

WorkerProcess::WorkerProcess(const WorkerProcessOptions& options) {
  LinkPair pair = make_pair(options.transport, options.link);
  // Ours is run by the link to it: its file may have been replaced by another version, or be gone.
  const std::string name = options.program.empty() ? running_program() : options.program;
  const char* const program = options.program.empty() ? kRunning : name.c_str();
  std::vector<std::string> words = {name, "worker"};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  words.insert(words.end(), {"--serve-fd", std::to_string(pair.peer_fd.get())});
  if (pair.ours->traits().shares_memory) words.emplace_back("--serve-shm");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  auto [told, tell] = make_pipe();  // what kept the child from becoming a worker
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  require_system(pid_ >= 0, ErrorCode::kResourceExhausted, "cannot start a worker process");
  if (pid_ == 0) {
    become_worker(program, arguments.data(), pair.peer_fd, parent);
    const int error = errno;
    (void)!::write(tell.get(), &error, sizeof error);
    ::_exit(127);
  }
  tell.reset();
  pair.peer_fd.reset();
  if (const int error = read_error(told)) {
    wait_for_end(-1);
    fail(ErrorCode::kIo, "cannot start the worker program {}: {}", name, std::strerror(error));
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
