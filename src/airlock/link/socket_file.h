// The file that a unix listener's socket has: made narrow, reused when stale, removed when ours.
#pragma once

#include <string>

#include <sys/types.h>

#include "airlock/core/doomed_file.h"
#include "airlock/link/uri.h"

namespace airlock {

/// Owns the file that bind() made. Movable.
class SocketFile {
 public:
  /// Binds `fd` to the path of `uri` with `mode` and starts to listen, replacing a socket file that
  /// nobody listens on. An abstract name ("@name") has no file. Throws as listen() says.
  [[nodiscard]] static SocketFile bind_and_listen(int fd, const Uri& uri, mode_t mode);

  SocketFile() = default;
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&&) = delete;
  ~SocketFile() { remove(); }

  /// Deletes the file, if it is still the one we made.
  void remove() noexcept;

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  DoomedFile doomed_;
};

}  // namespace airlock
