#include "airlock/shield/secret_memory.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"
#include "airlock/math/field_random.h"

namespace airlock {
namespace {

constexpr std::size_t kHugeBlock = std::size_t{2} << 20;

class SecretBlocks final : public BlockSource {
 public:
  std::byte* allocate(std::size_t capacity) override {
    const std::size_t bytes = whole_pages(capacity);
    void* const block =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(block != MAP_FAILED, ErrorCode::kResourceExhausted, "no memory for {} bytes of pads",
            capacity);
    ::madvise(block, bytes, MADV_DONTDUMP);
    ::madvise(block, bytes, MADV_DONTFORK);
    if (bytes >= kHugeBlock) ::madvise(block, bytes, MADV_HUGEPAGE);
    // As pages are touched: a bank is not filled before it is needed.
    const bool locked = ::mlock2(block, bytes, MLOCK_ONFAULT) == 0;
    auto& count = locked ? locked_ : unlocked_;
    count += static_cast<std::int64_t>(bytes);
    const std::lock_guard lock(mutex_);
    is_locked_[block] = locked;
    return static_cast<std::byte*>(block);
  }

  void free(std::byte* block, std::size_t capacity) noexcept override {
    const std::size_t bytes = whole_pages(capacity);
    wipe({block, bytes});
    {
      const std::lock_guard lock(mutex_);
      const auto entry = is_locked_.find(block);
      auto& count = entry->second ? locked_ : unlocked_;
      count -= static_cast<std::int64_t>(bytes);
      is_locked_.erase(entry);
    }
    ::munmap(block, bytes);
  }

  [[nodiscard]] SecretMemory in_use() const noexcept { return {locked_.load(), unlocked_.load()}; }

 private:
  std::atomic<std::int64_t> locked_{0};
  std::atomic<std::int64_t> unlocked_{0};
  std::mutex mutex_;
  std::map<void*, bool> is_locked_;
};

const std::shared_ptr<SecretBlocks>& the_secret_blocks() {
  static const auto source = std::make_shared<SecretBlocks>();
  return source;
}

}  // namespace

std::shared_ptr<BlockSource> secret_blocks() {
  return the_secret_blocks();
}

SecretMemory secret_memory() noexcept {
  return the_secret_blocks()->in_use();
}

void forbid_core_dumps() {
  const rlimit none{0, 0};
  require_system(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && ::setrlimit(RLIMIT_CORE, &none) == 0,
                 ErrorCode::kInternal, "core dumps cannot be forbidden");
}

}  // namespace airlock
