#include "airlock/core/doomed_file.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace airlock {
namespace {

enum class State { kFree, kFilling, kSet, kTaken };
static_assert(std::atomic<State>::is_always_lock_free, "signal handlers take it");

struct Slot {
  std::atomic<State> state{State::kFree};
  dev_t device = 0;
  ino_t inode = 0;
  char path[PATH_MAX] = {};
};
std::array<Slot, 32> g_slots;

}  // namespace

DoomedFile::DoomedFile(const std::filesystem::path& path) noexcept {
  struct stat status {};
  const std::size_t size = path.native().size() + 1;
  if (size > sizeof(Slot::path) || ::lstat(path.c_str(), &status) != 0) return;
  for (std::size_t i = 0; i < g_slots.size(); ++i) {
    State free = State::kFree;
    if (!g_slots[i].state.compare_exchange_strong(free, State::kFilling)) continue;
    g_slots[i].device = status.st_dev;
    g_slots[i].inode = status.st_ino;
    std::memcpy(g_slots[i].path, path.c_str(), size);
    g_slots[i].state = State::kSet;
    slot_ = static_cast<int>(i);
    return;
  }
}

DoomedFile::DoomedFile(DoomedFile&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}

DoomedFile& DoomedFile::operator=(DoomedFile&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

DoomedFile::~DoomedFile() {
  if (slot_ < 0) return;
  State set = State::kSet;
  // One that a handler has taken stays its own: the process ends.
  (void)g_slots[static_cast<std::size_t>(slot_)].state.compare_exchange_strong(set, State::kFree);
}

void remove_doomed_files() noexcept {
  const int saved = errno;
  for (Slot& slot : g_slots) {
    State set = State::kSet;
    if (!slot.state.compare_exchange_strong(set, State::kTaken)) continue;
    struct stat status {};
    const bool same = ::lstat(slot.path, &status) == 0 && status.st_dev == slot.device &&
                      status.st_ino == slot.inode;
    if (same) ::unlink(slot.path);
  }
  errno = saved;
}

}  // namespace airlock
