#include "airlock/core/output_file.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::size_t kBufferBytes = 1 << 16;
}

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
  require(fd_ >= 0, ErrorCode::kIo, "{}: cannot create the file: {}", path_.string(),
          std::generic_category().message(errno));
}

OutputFile::~OutputFile() {
  try {
    if (fd_ >= 0) flush();
  } catch (const std::exception&) {  // close() says so to who asks
  }
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void OutputFile::flush() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    require(fd_ >= 0, ErrorCode::kIo, "{}: the file is closed", path_.string());
    const ssize_t put = ::write(fd_, left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_to_write(put < 0 ? errno : EIO);
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  buffer_.clear();
}

void OutputFile::close() {
  if (fd_ < 0) return;
  flush();
  if (::close(std::exchange(fd_, -1)) != 0) fail_to_write(errno);
}

void OutputFile::fail_to_write(int error) {
  buffer_.clear();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  fail(ErrorCode::kIo, "{}: cannot write the file: {}", path_.string(),
       std::generic_category().message(error));
}

}  // namespace airlock
