#include "cli/text_source.h"

#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/terminal.h"
#include "airlock/link/fd.h"
#include "airlock/link/wait.h"
#include "cli/signals.h"

namespace airlock {

std::string text_name(const std::filesystem::path& path) {
  return path == "-" ? "standard input" : path.string();
}

std::string read_text(const std::filesystem::path& path) {
  const bool from_stdin = path == "-";
  const std::string name = text_name(path);
  const Fd opened(from_stdin ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int fd = from_stdin ? STDIN_FILENO : opened.get();
  require_system(fd >= 0, ErrorCode::kNotFound, "{}: cannot read the file", name);
  std::string text;
  std::array<char, 65536> part;
  while (true) {
    (void)wait_for(fd, POLLIN, std::nullopt,
                   signal_stop());  // a terminal or a pipe may never say more
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    require_system(got >= 0, ErrorCode::kIo, "{}: cannot read it", name);
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
    require(text.size() <= kMaxTextBytes, ErrorCode::kInvalidArgument,
            "{}: has at least {} bytes, expected at most {} (64 MiB)", name, text.size(),
            kMaxTextBytes);
  }
}

std::vector<std::int64_t> token_ids(const Tokenizer& tokenizer, const ModelConfig& config,
                                    std::string_view text, bool add_special) {
  std::vector<std::int64_t> ids;
  for (const std::int32_t id : tokenizer.encode(text, add_special)) {
    require(id < config.vocab, ErrorCode::kCorruptFile,
            "the tokenizer gives id {}, the model's vocabulary has {}", id, config.vocab);
    ids.push_back(id);
  }
  return ids;
}

void warn_of_two_bos(const Tokenizer& tokenizer, std::span<const std::int64_t> ids) {
  const auto bos = tokenizer.bos();
  if (!bos || ids.size() < 2 || ids[0] != *bos || ids[1] != *bos) return;
  say("the text begins with {}, and one more was added: --no-bos adds none\n",
      shown_line(tokenizer.token_text(*bos)));
}

}  // namespace airlock
