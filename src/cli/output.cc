#include "cli/output.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>
#include <system_error>

#include <poll.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/output_file.h"
#include "airlock/core/terminal.h"
#include "airlock/link/wait.h"
#include "cli/signals.h"

namespace airlock {

void print_result(std::string_view text) {
  std::string shown;
  if (::isatty(STDOUT_FILENO) == 1) {
    shown = shown_text(text);
    text = shown;
  }
  while (!text.empty()) {
    // A pipe that polls writable takes PIPE_BUF bytes at once: no write blocks, past signals.
    (void)wait_for(STDOUT_FILENO, POLLOUT, std::nullopt, signal_stop());
    const ssize_t put =
        ::write(STDOUT_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    require(put > 0, ErrorCode::kIo, "cannot write to standard output: {}",
            std::generic_category().message(put < 0 ? errno : EIO));
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.close();
}

}  // namespace airlock
