#include "airlock/shield/pad_bank.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/shield/secret_memory.h"

namespace airlock {

/// Memory of batches: kept for the next of the same size while all of it is within the bank's.
class PadBank::Blocks {
 public:
  explicit Blocks(std::int64_t memory) : source_(secret_blocks()), memory_(memory) {}
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks() {
    for (const auto& [block, size] : idle_) source_->free(block, size);
  }

  std::byte* acquire(std::size_t size) {
    const std::lock_guard lock(mutex_);
    const auto same =
        std::ranges::find_if(idle_, [&](const Idle& entry) { return entry.size == size; });
    if (same != idle_.end()) {
      std::byte* const block = same->block;
      idle_.erase(same);
      return block;
    }
    while (!idle_.empty() && bytes_ + static_cast<std::int64_t>(size) > memory_) {
      drop(idle_.back());
      idle_.pop_back();
    }
    idle_.reserve(idle_.size() + ++blocks_);  // so that giving back allocates nothing
    std::byte* const block = source_->allocate(size);
    bytes_ += static_cast<std::int64_t>(size);
    return block;
  }

  void give_back(std::byte* block, std::size_t size) noexcept {
    const std::lock_guard lock(mutex_);
    if (bytes_ > memory_) {
      drop({block, size});
    } else {
      idle_.push_back({block, size});
    }
  }

  [[nodiscard]] std::int64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Idle {
    std::byte* block;
    std::size_t size;
  };
  void drop(const Idle& entry) noexcept {
    source_->free(entry.block, entry.size);
    bytes_ -= static_cast<std::int64_t>(entry.size);
    --blocks_;
  }

  const std::shared_ptr<BlockSource> source_;
  const std::int64_t memory_;
  mutable std::mutex mutex_;
  std::vector<Idle> idle_;
  std::size_t blocks_ = 0;
  std::int64_t bytes_ = 0;
};

/// One batch. Lives until its rows are taken and the pads that have them are gone.
struct PadBank::Slab {
  std::shared_ptr<Blocks> home;
  std::byte* block = nullptr;
  std::size_t size = 0;
  PadBatch batch;
  std::int64_t taken = 0;

  explicit Slab(std::shared_ptr<Blocks> from) : home(std::move(from)) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    if (block != nullptr) home->give_back(block, size);
  }
  [[nodiscard]] std::int64_t left() const noexcept { return batch.rows - taken; }
};

namespace {

/// Elements from a row to the next.
std::int64_t row_stride(std::int64_t columns, PadRows layout) {
  if (layout == PadRows::kDense) return columns;
  const std::int64_t blocks = (columns + kLatticeBlock - 1) / kLatticeBlock;
  return (blocks | 1) * kLatticeBlock;
}

/// Every tensor of a batch begins a cache line.
std::int64_t aligned(std::int64_t elements) {
  constexpr std::int64_t kLine = BufferPool::kAlignment / sizeof(std::uint32_t);
  return (elements + kLine - 1) / kLine * kLine;
}

std::span<std::byte> bytes_of_rows(std::uint32_t* first, std::int64_t stride, std::int64_t row,
                                   std::int64_t rows) {
  return std::as_writable_bytes(
      std::span(first + row * stride, static_cast<std::size_t>(rows * stride)));
}

}  // namespace

PadBank::PadBank(const std::vector<RingGroup>& groups, const ModelConfig& config, PadRows layout,
                 std::int64_t memory)
    : groups_(groups), held_(groups.size()), blocks_(std::make_shared<Blocks>(memory)) {
  require(memory >= 0, ErrorCode::kInvalidArgument, "{} bytes for pads: expected 0 or more",
          memory);
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    Group& held = held_[i];
    held.input_stride = row_stride(groups[i].in, layout);
    elements += held.input_stride;
    for (int k = 0; k < groups[i].weights.size(); ++k) {
      held.output_stride[k] = row_stride(weight_shape(config, groups[i].weights[k])[0], layout);
      elements += held.output_stride[k];
    }
  }
  capacity_ = memory / (elements * static_cast<std::int64_t>(sizeof(std::uint32_t)));
}

PadBank::~PadBank() = default;

std::int64_t PadBank::ready(int group) const {
  std::int64_t rows = 0;
  for (const auto& slab : held_[static_cast<std::size_t>(group)].slabs) rows += slab->left();
  return rows;
}

std::int64_t PadBank::room(int group) const {
  std::int64_t room = capacity_;
  for (const auto& slab : held_[static_cast<std::size_t>(group)].slabs) room -= slab->batch.rows;
  return std::max<std::int64_t>(room, 0);
}

std::int64_t PadBank::bytes() const {
  return blocks_->bytes();
}

void PadBank::make(int group, std::int64_t rows, const std::function<void(const PadBatch&)>& fill) {
  Group& held = held_[static_cast<std::size_t>(group)];
  auto slab = std::make_shared<Slab>(blocks_);
  const int matrices = groups_[static_cast<std::size_t>(group)].weights.size();
  std::int64_t elements = aligned(rows * held.input_stride);
  for (int k = 0; k < matrices; ++k) elements += aligned(rows * held.output_stride[k]);
  slab->size = static_cast<std::size_t>(elements) * sizeof(std::uint32_t);
  slab->block = blocks_->acquire(slab->size);
  PadBatch& batch = slab->batch;
  batch.group = group;
  batch.rows = rows;
  batch.input = reinterpret_cast<std::uint32_t*>(slab->block);
  batch.input_stride = held.input_stride;
  std::uint32_t* next = batch.input + aligned(rows * held.input_stride);
  for (int k = 0; k < matrices; ++k) {
    batch.output[k] = next;
    batch.output_stride[k] = held.output_stride[k];
    next += aligned(rows * held.output_stride[k]);
  }
  fill(batch);
  held.slabs.push_back(std::move(slab));
}

std::int64_t PadBank::take(int group, std::int64_t rows, Pad& pad) {
  auto& slabs = held_[static_cast<std::size_t>(group)].slabs;
  const int matrices = groups_[static_cast<std::size_t>(group)].weights.size();
  std::int64_t given = 0;
  while (given < rows && !slabs.empty()) {
    const std::shared_ptr<Slab> slab = slabs.front();
    const PadBatch& batch = slab->batch;
    const std::int64_t first = slab->taken;
    PadSegment segment;
    segment.rows = std::min(rows - given, slab->left());
    segment.input = batch.input + first * batch.input_stride;
    segment.input_stride = batch.input_stride;
    std::vector<std::span<std::byte>> wiped;
    wiped.reserve(static_cast<std::size_t>(matrices) + 1);
    wiped.push_back(bytes_of_rows(batch.input, batch.input_stride, first, segment.rows));
    for (int k = 0; k < matrices; ++k) {
      segment.output[k] = batch.output[k] + first * batch.output_stride[k];
      segment.output_stride[k] = batch.output_stride[k];
      wiped.push_back(bytes_of_rows(batch.output[k], batch.output_stride[k], first, segment.rows));
    }
    // Gone from here first: rows that do not reach a pad for an error are lost, not used twice.
    slab->taken += segment.rows;
    if (slab->left() == 0) slabs.erase(slabs.begin());
    pad.add(segment, slab, std::move(wiped));
    given += segment.rows;
  }
  return given;
}

}  // namespace airlock
