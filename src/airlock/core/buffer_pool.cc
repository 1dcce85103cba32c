#include "airlock/core/buffer_pool.h"

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "airlock/core/error.h"

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

class HeapBlocks final : public BlockSource {
 public:
  std::byte* allocate(std::size_t capacity) override {
    const std::size_t alignment = capacity >= kHugePage ? kHugePage : BufferPool::kAlignment;
    const std::size_t rounded = (capacity + alignment - 1) / alignment * alignment;
    void* block = std::aligned_alloc(alignment, rounded);
    require(block != nullptr, ErrorCode::kResourceExhausted, "no memory for a buffer of {} bytes",
            capacity);
    // Huge pages cut the cost of the first touch and of TLB misses; a refusal costs nothing.
    if (capacity >= kHugePage) ::madvise(block, rounded, MADV_HUGEPAGE);
    return static_cast<std::byte*>(block);
  }
  void free(std::byte* block, std::size_t /*capacity*/) noexcept override { std::free(block); }
};
}  // namespace

std::shared_ptr<BlockSource> heap_blocks() {
  static const auto source = std::make_shared<HeapBlocks>();
  return source;
}

struct Buffer::Shared {
  const std::shared_ptr<BlockSource> source;
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::byte*>> idle;
  std::size_t in_use_bytes = 0;
  std::size_t idle_bytes = 0;

  explicit Shared(std::shared_ptr<BlockSource> from) : source(std::move(from)) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { trim(); }

  void trim() {
    const std::lock_guard lock(mutex);
    for (auto& [capacity, blocks] : idle) {
      for (std::byte* block : blocks) source->free(block, capacity);
      blocks.clear();
    }
    idle_bytes = 0;
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
  {
    const std::lock_guard lock(shared_->mutex);
    // acquire() reserved room in this class's list, so this does not allocate.
    shared_->idle[capacity_].push_back(data_);
    shared_->in_use_bytes -= capacity_;
    shared_->idle_bytes += capacity_;
  }
  shared_.reset();
  data_ = nullptr;
  size_ = capacity_ = 0;
}

BufferPool::BufferPool(std::shared_ptr<BlockSource> source)
    : shared_(std::make_shared<Buffer::Shared>(std::move(source))) {}

Buffer BufferPool::acquire(std::size_t size) const {
  Buffer buffer;
  buffer.capacity_ = size_class(size);
  const std::lock_guard lock(shared_->mutex);
  auto& blocks = shared_->idle[buffer.capacity_];
  if (blocks.empty()) {
    blocks.reserve(blocks.capacity() + 8);
    buffer.data_ = shared_->source->allocate(buffer.capacity_);
  } else {
    buffer.data_ = blocks.back();
    blocks.pop_back();
    shared_->idle_bytes -= buffer.capacity_;
  }
  shared_->in_use_bytes += buffer.capacity_;
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
