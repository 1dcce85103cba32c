#include "airlock/worker/cuda/host_memory.h"

#include <atomic>
#include <utility>

#include <cuda_runtime_api.h>

#include "airlock/core/log.h"
#include "airlock/worker/cuda/check.h"

namespace airlock::cuda {
namespace {

/// Blocks worth locking are locked.
class PinnedBlocks final : public BlockSource {
 public:
  PinnedBlocks(Gpu gpu, std::shared_ptr<AddressRanges> ranges)
      : gpu_(std::move(gpu)), ranges_(std::move(ranges)) {}

  std::byte* allocate(std::size_t capacity) override {
    constexpr std::size_t kLeast = 64 << 10;  // smaller ones cost what a copy's start costs
    if (capacity >= kLeast) {
      gpu_.make_current();
      void* block = nullptr;
      const cudaError_t status = cudaMallocHost(&block, capacity);
      if (status == cudaSuccess) {
        ranges_->add(static_cast<std::byte*>(block), capacity);
        return static_cast<std::byte*>(block);
      }
      cudaGetLastError();
      if (!told_.exchange(true)) {
        log_warning("the system locks no more memory for the GPU ({}): copies take a detour",
                    cudaGetErrorString(status));
      }
    }
    return heap_->allocate(capacity);
  }

  void free(std::byte* block, std::size_t capacity) noexcept override {
    if (ranges_->remove(block)) {
      gpu_.try_make_current();  // else a thread that has none yet would wake GPU 0
      cudaFreeHost(block);
    } else {
      heap_->free(block, capacity);
    }
  }

 private:
  Gpu gpu_;
  std::shared_ptr<AddressRanges> ranges_;
  std::shared_ptr<BlockSource> heap_ = heap_blocks();
  std::atomic<bool> told_{false};
};

}  // namespace

PinnedBuffer::PinnedBuffer(std::size_t bytes) {
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), "cudaMallocHost");
  data_ = static_cast<std::byte*>(data);
}

PinnedBuffer::~PinnedBuffer() {
  cudaFreeHost(data_);
}

BufferPool HostMemory::pool() const {
  return BufferPool(std::make_shared<PinnedBlocks>(gpu_, ranges_));
}

void HostMemory::add(std::span<std::byte> memory) {
  gpu_.make_current();
  const cudaError_t status =
      cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterDefault);
  if (status == cudaSuccess) return ranges_->add(memory.data(), memory.size());
  cudaGetLastError();
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  log_warning("the driver does not register shared memory ({}): copies pass through pinned buffers",
              cudaGetErrorString(status));
}

void HostMemory::remove(std::span<std::byte> memory) noexcept {
  if (!ranges_->remove(memory.data())) return;
  gpu_.try_make_current();
  cudaHostUnregister(memory.data());
}

}  // namespace airlock::cuda
