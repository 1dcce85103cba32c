#include "airlock/link/socket_file.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/link/socket_address.h"

namespace airlock {
namespace {

// Connections the kernel holds until accept() takes them: more runners than start at one moment.
constexpr int kBacklog = 128;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Keeps two listeners that start at one path from taking each other's fresh socket for a stale one.
// Lock of the folder itself, so that no file is left behind. Gives up after half a second: a folder
// that anybody may lock (as the one for temporary files) must not let them keep us from starting.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path) noexcept
      : fd_(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    for (int attempt = 0; fd_ && attempt < 100; ++attempt) {
      if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

 private:
  Fd fd_;
};

// False only if the socket file is certainly stale. Whatever else happens (a full backlog, no
// permission, another socket type), it has an owner who is alive or whom we may not disturb.
bool somebody_listens(const SocketAddress& address) {
  const Fd probe = open_socket(AF_UNIX);
  if (::connect(probe.get(), address.get(), address.size) == 0) return true;
  return errno != ECONNREFUSED && errno != ENOENT;
}

void remove_stale(const Uri& uri, const SocketAddress& address) {
  struct stat status {};
  if (::lstat(uri.path.c_str(), &status) != 0) return;
  require(S_ISSOCK(status.st_mode), ErrorCode::kInvalidArgument,
          "{}: {} exists and is not a socket; choose another path", uri.to_string(), uri.path);
  require(!somebody_listens(address), ErrorCode::kAddressInUse,
          "{}: another process listens there; choose another path or end that process",
          uri.to_string());
  require_system(::unlink(uri.path.c_str()) == 0 || errno == ENOENT, ErrorCode::kAddressInUse,
                 "{}: a stale socket file is in the way and cannot be removed", uri.to_string());
}

[[noreturn]] void fail_to_bind(const Uri& uri, int error) {
  switch (error) {
    case EADDRINUSE:
      fail(ErrorCode::kAddressInUse, "{}: another process listens there; choose another name",
           uri.to_string());
    case ENOENT:
      fail(ErrorCode::kInvalidArgument, "{}: the folder {} does not exist; create it first",
           uri.to_string(), folder_of(uri.path));
    case EACCES:
    case EPERM:
    case EROFS:
      fail(ErrorCode::kInvalidArgument, "{}: no permission to create a socket in {}",
           uri.to_string(), folder_of(uri.path));
    default:
      fail(ErrorCode::kIo, "{}: cannot listen: {}", uri.to_string(), std::strerror(error));
  }
}

}  // namespace

SocketFile SocketFile::bind_and_listen(int fd, const Uri& uri, mode_t mode) {
  const SocketAddress address = unix_address(uri);
  SocketFile file;
  if (uri.path.starts_with('@')) {
    if (::bind(fd, address.get(), address.size) != 0) fail_to_bind(uri, errno);
    if (::listen(fd, kBacklog) != 0) fail_to_bind(uri, errno);
    return file;
  }
  const FolderLock lock(uri.path);
  remove_stale(uri, address);
  // bind() gives the file the socket's own mode (less umask), so it never exists with a wider one;
  // umask itself belongs to the whole process and is not ours to change.
  if (::fchmod(fd, mode) != 0) fail_to_bind(uri, errno);
  if (::bind(fd, address.get(), address.size) != 0) fail_to_bind(uri, errno);
  struct stat status {};
  if (::lstat(uri.path.c_str(), &status) != 0) fail_to_bind(uri, errno);
  file.path_ = uri.path;
  file.doomed_ = DoomedFile(uri.path);
  file.device_ = status.st_dev;
  file.inode_ = status.st_ino;
  require((status.st_mode & (S_IRWXG | S_IRWXO) & ~mode) == 0, ErrorCode::kIo,
          "{}: this file system made the socket open to other users", uri.to_string());
  if (::listen(fd, kBacklog) != 0) fail_to_bind(uri, errno);
  return file;
}

SocketFile::SocketFile(SocketFile&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_),
      doomed_(std::move(other.doomed_)) {}

void SocketFile::remove() noexcept {
  if (path_.empty()) return;
  const FolderLock lock(path_);
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  path_.clear();
  doomed_ = {};
}

}  // namespace airlock
