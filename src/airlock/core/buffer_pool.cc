#include "airlock/core/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"

namespace airlock {
namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t size_class(std::size_t size) {
  if (size <= BufferPool::kAlignment) return BufferPool::kAlignment;
  const std::size_t power = std::bit_ceil(size);
  if (power <= (std::size_t{1} << 20)) return power;
  const std::size_t step = power / 16;  // an eighth of the power of two below
  return (size + step - 1) / step * step;
}

/// From a page of huge ones on, memory is mapped for each block: freed, it is the system's at once,
/// whatever the heap holds beside it.
class HeapBlocks final : public BlockSource {
 public:
  std::byte* allocate(std::size_t capacity) override {
    void* block = nullptr;
    if (capacity < kHugePage) {
      const std::size_t rounded = (capacity + BufferPool::kAlignment - 1) / BufferPool::kAlignment;
      block = std::aligned_alloc(BufferPool::kAlignment, rounded * BufferPool::kAlignment);
    } else {
      block = map_aligned(whole_pages(capacity));
    }
    require(block != nullptr, ErrorCode::kResourceExhausted, "no memory for a buffer of {} bytes",
            capacity);
    return static_cast<std::byte*>(block);
  }
  void free(std::byte* block, std::size_t capacity) noexcept override {
    if (capacity < kHugePage) return std::free(block);
    ::munmap(block, whole_pages(capacity));
  }

 private:
  /// At a huge page's boundary, or nullptr.
  static void* map_aligned(std::size_t bytes) {
    void* const raw = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<std::byte*>(raw);
    const std::size_t before =
        (kHugePage - reinterpret_cast<std::uintptr_t>(raw) % kHugePage) % kHugePage;
    if (before > 0) ::munmap(begin, before);
    if (before < kHugePage) ::munmap(begin + before + bytes, kHugePage - before);
    // Huge pages cut the cost of the first touch and of TLB misses; a refusal costs nothing.
    ::madvise(begin + before, bytes, MADV_HUGEPAGE);
    return begin + before;
  }
};
}  // namespace

std::shared_ptr<BlockSource> heap_blocks() {
  static const auto source = std::make_shared<HeapBlocks>();
  return source;
}

struct Buffer::Shared final : public IdleMemory {
  struct Idle {
    std::byte* block;
    std::uint64_t since;
  };
  struct SizeClass {
    std::vector<Idle> idle;  ///< the longest idle first; has room for all that were made
    std::size_t made = 0;
  };

  const std::shared_ptr<BlockSource> source;
  MemoryBudget& budget;
  std::mutex mutex;
  std::map<std::size_t, SizeClass> classes;  ///< by capacity
  std::size_t in_use_bytes = 0;
  std::size_t idle_bytes = 0;
  std::size_t on_loan_for_good = 0;  ///< what was on loan when the pool was last trimmed
  std::size_t most_in_use = 0;       ///< at the same time, since then
  std::uint64_t clock = 0;

  Shared(std::shared_ptr<BlockSource> from, MemoryBudget& of)
      : source(std::move(from)), budget(of) {
    budget.add(*this);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    budget.remove(*this);
    drop_idle(0);
  }

  /// A block of the class, from what is idle, or nullptr; then room is kept for the one to be made.
  std::byte* reuse(std::size_t capacity) {
    const std::lock_guard lock(mutex);
    SizeClass& of_class = classes[capacity];
    if (of_class.idle.empty()) {
      if (of_class.idle.capacity() <= of_class.made) of_class.idle.reserve(2 * of_class.made + 8);
      ++of_class.made;
      return nullptr;
    }
    std::byte* block = of_class.idle.back().block;
    of_class.idle.pop_back();
    idle_bytes -= capacity;
    lend(capacity);
    return block;
  }

  std::byte* make(std::size_t capacity) {
    std::byte* block = nullptr;
    try {
      BudgetShare share(budget, static_cast<std::int64_t>(capacity), "a buffer");
      block = make_within(capacity);
      share.keep();
    } catch (...) {
      const std::lock_guard lock(mutex);
      --classes[capacity].made;
      throw;
    }
    const std::lock_guard lock(mutex);
    lend(capacity);
    return block;
  }

  void take_back(std::byte* block, std::size_t capacity) noexcept {
    const std::lock_guard lock(mutex);
    classes.find(capacity)->second.idle.push_back({block, ++clock});
    in_use_bytes -= capacity;
    idle_bytes += capacity;
    if (!source->can_make_again()) return;
    drop_idle(std::max(BufferPool::kLeastIdle,
                       BufferPool::kIdleShare * (most_in_use - on_loan_for_good)));
  }

  void trim() {
    const std::lock_guard lock(mutex);
    drop_idle(0);
    most_in_use = on_loan_for_good = in_use_bytes;
  }

  std::int64_t give_back(std::int64_t bytes) noexcept override {
    const std::lock_guard lock(mutex);
    if (!source->can_make_again()) return 0;
    const std::size_t before = idle_bytes;
    const auto wanted = static_cast<std::size_t>(bytes);
    drop_idle(wanted < before ? before - wanted : 0);
    return static_cast<std::int64_t>(before - idle_bytes);
  }

 private:
  void lend(std::size_t capacity) noexcept {
    in_use_bytes += capacity;
    most_in_use = std::max(most_in_use, in_use_bytes);
  }

  /// The system may have less than the budget: then what is idle anywhere goes first.
  std::byte* make_within(std::size_t capacity) {
    try {
      return source->allocate(capacity);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResourceExhausted ||
          budget.reclaim(static_cast<std::int64_t>(capacity)) == 0) {
        throw;
      }
    }
    return source->allocate(capacity);
  }

  /// Until no more than `keep` bytes are idle.
  void drop_idle(std::size_t keep) noexcept {
    while (idle_bytes > keep) {
      auto longest = classes.end();
      for (auto at = classes.begin(); at != classes.end(); ++at) {
        if (at->second.idle.empty()) continue;
        if (longest == classes.end() ||
            at->second.idle.front().since < longest->second.idle.front().since) {
          longest = at;
        }
      }
      auto& [capacity, of_class] = *longest;
      source->free(of_class.idle.front().block, capacity);
      of_class.idle.erase(of_class.idle.begin());
      --of_class.made;
      idle_bytes -= capacity;
      budget.give(static_cast<std::int64_t>(capacity));
    }
  }
};

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    release();
    shared_ = std::move(other.shared_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

void Buffer::release() noexcept {
  if (data_ == nullptr) return;
  shared_->take_back(data_, capacity_);
  shared_.reset();
  data_ = nullptr;
  size_ = capacity_ = 0;
}

BufferPool::BufferPool(std::shared_ptr<BlockSource> source, MemoryBudget& budget)
    : shared_(std::make_shared<Buffer::Shared>(std::move(source), budget)) {}

Buffer BufferPool::acquire(std::size_t size) const {
  Buffer buffer;
  const std::size_t capacity = size_class(size);
  buffer.data_ = shared_->reuse(capacity);
  if (buffer.data_ == nullptr) buffer.data_ = shared_->make(capacity);
  buffer.capacity_ = capacity;
  buffer.size_ = size;
  buffer.shared_ = shared_;
  return buffer;
}

std::size_t BufferPool::bytes_in_use() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->in_use_bytes;
}

std::size_t BufferPool::bytes_idle() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->idle_bytes;
}

void BufferPool::trim() const {
  shared_->trim();
}

}  // namespace airlock
