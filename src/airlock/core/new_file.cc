#include "airlock/core/new_file.h"

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {

bool names_descriptor(const std::filesystem::path& path) {
  const std::string& name = path.native();
  return name == "/dev/stdout" || name == "/dev/stderr" || name.starts_with("/dev/fd/") ||
         name.starts_with("/proc/");
}

NewFile::NewFile(std::filesystem::path path, Special special) : path_(std::move(path)) {
  struct stat status {};
  const bool descriptor = names_descriptor(path_);
  const bool exists =
      (descriptor ? ::stat(path_.c_str(), &status) : ::lstat(path_.c_str(), &status)) == 0;
  if (!exists && errno != ENOENT) fail_to_create(errno);
  if (exists && S_ISLNK(status.st_mode)) fail_to_create(ELOOP);
  if (exists && S_ISDIR(status.st_mode)) fail_to_create(EISDIR);
  const bool itself = descriptor || (exists && !S_ISREG(status.st_mode));
  require(!itself || special == Special::kWritten, ErrorCode::kIo,
          "{}: is not a regular file, but one is needed", path_.string());
  if (itself) {
    open_itself(descriptor);
    return;
  }
  // What its owner made read-only is not replaced either.
  if (exists && ::faccessat(AT_FDCWD, path_.c_str(), W_OK, AT_EACCESS) != 0) fail_to_create(errno);
  open_beside();
}

NewFile::~NewFile() {
  (void)close();
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void NewFile::open_itself(bool descriptor) {
  const int follow = descriptor ? 0 : O_NOFOLLOW;
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | follow);
  if (fd_ < 0) fail_to_create(errno);
}

void NewFile::open_beside() {
  static std::atomic<unsigned> number{0};
  constexpr int kTries = 100;  // a process of that id may have been killed here
  for (int i = 0; fd_ < 0 && i < kTries; ++i) {
    temporary_ = path_.parent_path() / fmt::format(".airlock-{}-{}", ::getpid(), number++);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) fail_to_create(errno);
  doomed_ = DoomedFile(temporary_);
}

void NewFile::publish() {
  if (temporary_.empty()) return;
  require_system(::rename(temporary_.c_str(), path_.c_str()) == 0, ErrorCode::kIo,
                 "{}: cannot give the file its name", path_.string());
  temporary_.clear();
  doomed_ = {};
}

int NewFile::close() noexcept {
  if (fd_ < 0) return 0;
  return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
}

void NewFile::fail_to_create(int error) const {
  fail(ErrorCode::kIo, "{}: cannot create the file: {}", path_.string(),
       error == ELOOP ? "it is a link" : std::generic_category().message(error));
}

}  // namespace airlock
