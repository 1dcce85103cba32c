// A terminal that a program writes to and a test reads.
#pragma once

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace airlock::testing {

/// Passes bytes on as they are written (raw).
class PseudoTerminal {
 public:
  PseudoTerminal() : ours_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (ours_ < 0 || ::grantpt(ours_) != 0 || ::unlockpt(ours_) != 0) {
      throw std::runtime_error("no pseudo-terminal");
    }
    theirs_ = ::open(::ptsname(ours_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios settings{};
    ::tcgetattr(theirs_, &settings);
    ::cfmakeraw(&settings);
    ::tcsetattr(theirs_, TCSANOW, &settings);
  }
  ~PseudoTerminal() {
    close_theirs();
    ::close(ours_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  /// In the child: makes `fd` the terminal.
  void become(int fd) const { ::dup2(theirs_, fd); }
  /// Reads until no process has it open any more. Once, after the child has started.
  std::string read_all() {
    close_theirs();
    std::string text;
    std::array<char, 4096> part;
    ssize_t got = 0;
    while ((got = ::read(ours_, part.data(), part.size())) > 0) {
      text.append(part.data(), static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  void close_theirs() {
    if (theirs_ >= 0) ::close(theirs_);
    theirs_ = -1;
  }

  int ours_;
  int theirs_ = -1;
};

}  // namespace airlock::testing
