#include "airlock/core/output_file.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::size_t kBufferBytes = 1 << 16;
}

OutputFile::OutputFile(std::filesystem::path path) : file_(std::move(path)) {}

OutputFile::~OutputFile() {
  try {
    if (file_.fd() >= 0) flush();
  } catch (const std::exception&) {  // close() says so to who asks
  }
}

void OutputFile::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void OutputFile::flush() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    require(file_.fd() >= 0, ErrorCode::kIo, "{}: the file is closed", file_.path().string());
    const ssize_t put = ::write(file_.fd(), left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_to_write(put < 0 ? errno : EIO);
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  buffer_.clear();
}

void OutputFile::publish() {
  flush();
  file_.publish();
}

void OutputFile::close() {
  if (file_.fd() < 0) return;
  flush();
  if (const int error = file_.close(); error != 0) fail_to_write(error);
  file_.publish();
}

void OutputFile::fail_to_write(int error) {
  buffer_.clear();
  (void)file_.close();
  fail(ErrorCode::kIo, "{}: cannot write the file: {}", file_.path().string(),
       std::generic_category().message(error));
}

}  // namespace airlock
