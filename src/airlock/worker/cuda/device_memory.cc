#include "airlock/worker/cuda/device_memory.h"

#include <algorithm>

#include <cuda_runtime_api.h>

#include "airlock/worker/cuda/check.h"

namespace airlock::cuda {

DeviceBuffer::DeviceBuffer(MemoryBudget& budget, std::int64_t bytes) {
  budget.take(bytes);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(bytes));
  if (status != cudaSuccess) {
    budget.give(bytes);
    check(status, "cudaMalloc");
  }
  budget_ = &budget;
  data_ = static_cast<std::byte*>(data);
  size_ = bytes;
}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  if (this != &other) {
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void DeviceBuffer::release() noexcept {
  if (data_ == nullptr) return;
  cudaFree(data_);
  budget_->give(size_);
  data_ = nullptr;
  size_ = 0;
}

void Arena::reset() {
  used_ = 0;
  block_in_use_ = false;
  extras_in_use_ = 0;
  if (extras_.empty()) return;
  std::int64_t whole = block_.size();
  for (const DeviceBuffer& extra : extras_) whole += extra.size();
  extras_.clear();
  block_.release();
  block_ = DeviceBuffer(budget_, whole);
}

std::byte* Arena::take(std::int64_t bytes) {
  constexpr std::int64_t kAlignment = 256;
  const std::int64_t size =
      (std::max<std::int64_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (size <= block_.size() - used_) {
    block_in_use_ = true;
    return block_.data() + std::exchange(used_, used_ + size);
  }
  // Extras come again in the order they came, which is that of the next piece of a call as well.
  while (extras_in_use_ < extras_.size()) {
    const DeviceBuffer& extra = extras_[extras_in_use_++];
    if (size <= extra.size()) return extra.data();
  }
  // A block too small for this call must not keep it from memory that the budget has.
  if (!block_in_use_ && !budget_.fits(size)) block_.release();
  extras_.emplace_back(budget_, size);
  ++extras_in_use_;
  return extras_.back().data();
}

}  // namespace airlock::cuda
