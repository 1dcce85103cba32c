#include "airlock/link/shared_memory.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"

namespace airlock {
namespace {

// Without them a peer could truncate the file, and the next access here would be a fatal signal.
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
// With one more seal (F_SEAL_FUTURE_WRITE) a peer could keep its pages from being taken away.
constexpr int kSeals = kSizeSeals | F_SEAL_SEAL;

struct stat status_of(int file) {
  struct stat status {};
  require_system(::fstat(file, &status) == 0, ErrorCode::kInternal, "cannot look at shared memory");
  return status;
}

std::int64_t present_bytes(int file) {
  return static_cast<std::int64_t>(status_of(file).st_blocks) * 512;
}

/// Pages that do not exist yet would be made at first touch, fatally if there is no memory then.
/// Making them is fatal as well where there is none: Linux kills a process rather than refuse.
void make_pages(int file, std::size_t size) {
  const std::int64_t available = available_memory();
  require(static_cast<std::int64_t>(size) <= available, ErrorCode::kResourceExhausted,
          "no {} bytes of shared memory: {} are available", size, available);
  int result = 0;
  do {
    result = ::fallocate(file, 0, 0, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  require_system(result == 0, ErrorCode::kResourceExhausted, "no {} bytes of shared memory", size);
}

}  // namespace

SharedMemory::SharedMemory(Fd file, std::size_t size) : file_(std::move(file)), size_(size) {
  void* data =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_.get(), 0);
  require_system(data != MAP_FAILED, ErrorCode::kResourceExhausted,
                 "cannot map {} bytes of shared memory", size);
  data_ = static_cast<std::byte*>(data);
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this != &other) {
    unmap();
    file_ = std::move(other.file_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SharedMemory::~SharedMemory() {
  unmap();
}

void SharedMemory::unmap() noexcept {
  if (data_ == nullptr) return;
  ::madvise(data_, size_, MADV_REMOVE);
  ::munmap(data_, size_);
}

SharedMemory SharedMemory::create(std::size_t size) {
  size = whole_pages(size);
  Fd file(::memfd_create("airlock", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  require_system(static_cast<bool>(file), ErrorCode::kResourceExhausted,
                 "cannot make shared memory");
  require_system(::ftruncate(file.get(), static_cast<off_t>(size)) == 0,
                 ErrorCode::kResourceExhausted, "no {} bytes of shared memory", size);
  make_pages(file.get(), size);
  require_system(::fcntl(file.get(), F_ADD_SEALS, kSeals) == 0, ErrorCode::kInternal,
                 "cannot seal shared memory");
  return {std::move(file), size};
}

SharedMemory SharedMemory::adopt(Fd file, std::size_t size) {
  const auto has_seals = [&](int wanted) {
    const int seals = ::fcntl(file.get(), F_GET_SEALS);
    return seals >= 0 && (seals & wanted) == wanted;
  };
  require(has_seals(kSizeSeals), ErrorCode::kProtocol,
          "a peer shared a descriptor that is not memory of a sealed size");
  const auto held = static_cast<std::int64_t>(status_of(file.get()).st_size);
  require(held >= 0 && static_cast<std::size_t>(held) == size && size > 0, ErrorCode::kProtocol,
          "a peer shared memory of {} bytes and announced {}", held, size);
  // The peer may have sealed the seals itself, and they say nothing before they are.
  const bool writable = (::fcntl(file.get(), F_GETFL) & O_ACCMODE) == O_RDWR;
  const bool sealed = ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL) == 0 || has_seals(kSeals);
  require(writable && sealed && !has_seals(F_SEAL_WRITE) && !has_seals(F_SEAL_FUTURE_WRITE),
          ErrorCode::kProtocol, "a peer shared memory that cannot be written");
  // A peer can punch holes into either kind; only huge pages are missed fatally if all are taken.
  struct statfs system {};
  require(::fstatfs(file.get(), &system) == 0 && system.f_type == TMPFS_MAGIC, ErrorCode::kProtocol,
          "a peer shared memory that is not of ordinary pages");
  const std::int64_t present = present_bytes(file.get());
  require(present >= held, ErrorCode::kProtocol,
          "a peer shared memory of {} bytes of which {} are present, expected all", held, present);
  return {std::move(file), size};
}

}  // namespace airlock
