#include "airlock/model/input_file.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"

namespace airlock {
namespace {

constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";

/// Says why `path` could not be opened or looked at.
[[noreturn]] void fail_to_open(const std::filesystem::path& path, int error) {
  std::error_code no_link;
  const std::filesystem::path target = std::filesystem::read_symlink(path, no_link);
  if (error == ENOENT && !no_link) {
    fail(ErrorCode::kNotFound,
         "{}: is a link to {}, which is not there (is the download complete?)", path.string(),
         excerpt(target.string()));
  }
  fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", path.string(),
       std::generic_category().message(error));
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail_to_open(path_, errno);
  try {
    require(::fstat(fd_, &opened_) == 0 && S_ISREG(opened_.st_mode), ErrorCode::kCorruptFile,
            "{}: is not a regular file", path_.string());
    std::string start(kLfsPointer.size(), '\0');
    start.resize(read_some(0, std::as_writable_bytes(std::span(start))));
    require(start != kLfsPointer, ErrorCode::kCorruptFile,
            "{}: is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
            path_.string());
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

InputFile::~InputFile() {
  ::close(fd_);
}

std::size_t InputFile::read_some(std::uint64_t offset, std::span<std::byte> out) const {
  while (true) {
    const ::ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<::off_t>(offset));
    if (got >= 0) return static_cast<std::size_t>(got);
    require_system(errno == EINTR, ErrorCode::kIo, "{}", path_.string());
  }
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  bool whole = true;
  while (whole && !out.empty()) {
    const std::size_t got = read_some(offset, out);
    whole = got > 0;
    offset += got;
    out = out.subspan(got);
  }
  struct stat now {};
  require_system(::fstat(fd_, &now) == 0, ErrorCode::kIo, "{}", path_.string());
  require(whole && now.st_size == opened_.st_size, ErrorCode::kIo,
          "{}: has {} bytes, but had {} when it was opened (somebody truncated or replaced it)",
          path_.string(), now.st_size, opened_.st_size);
  require(now.st_mtim.tv_sec == opened_.st_mtim.tv_sec &&
              now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec,
          ErrorCode::kIo, "{}: was written to since it was opened", path_.string());
}

std::string InputFile::read_text(std::uint64_t max_bytes) const {
  std::string text;
  // Reads to the end rather than st_size bytes: some file systems report 0.
  while (std::max<std::uint64_t>(bytes(), text.size()) <= max_bytes) {
    constexpr std::size_t kStep = 64 << 10;
    const std::size_t have = text.size();
    text.resize(have + kStep);
    const std::size_t got =
        read_some(have, std::as_writable_bytes(std::span(text)).subspan(have, kStep));
    text.resize(have + got);
    if (got == 0) return text;
  }
  fail(ErrorCode::kCorruptFile, "{}: has at least {} bytes, expected at most {}", path_.string(),
       std::max<std::uint64_t>(bytes(), text.size()), max_bytes);
}

void InputFile::will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  ::posix_fadvise(fd_, static_cast<::off_t>(offset), static_cast<::off_t>(bytes),
                  POSIX_FADV_WILLNEED);
}

bool is_listed(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  require_system(errno == ENOENT, ErrorCode::kIo, "{}", path.string());
  return false;
}

void require_folder(const std::filesystem::path& dir) {
  struct stat info {};
  if (::stat(dir.c_str(), &info) != 0) {
    if (errno == ENOENT && !is_listed(dir)) {
      fail(ErrorCode::kNotFound, "{}: no such folder", dir.string());
    }
    fail_to_open(dir, errno);
  }
  require(S_ISDIR(info.st_mode), ErrorCode::kIo, "{}: is not a folder", dir.string());
}

}  // namespace airlock
