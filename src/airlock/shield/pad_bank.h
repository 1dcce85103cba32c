// Rows of pads made ahead: kept in memory that is not dumped, handed out once, and wiped.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "airlock/ops/call.h"
#include "airlock/shield/pad.h"
#include "airlock/shield/ring_model.h"

namespace airlock {

/// Fresh rows of one group, to be filled: input [rows, in] and an output [rows, out] for each of
/// the group's matrices, u32 below p.
struct PadBatch {
  int group = 0;
  std::int64_t rows = 0;
  std::uint32_t* input = nullptr;
  std::int64_t input_stride = 0;  ///< in elements
  std::uint32_t* output[kMaxTensors] = {};
  std::int64_t output_stride[kMaxTensors] = {};
};

/// How a batch's rows lie in memory.
enum class PadRows {
  kDense,   ///< strides are the columns: as tensors travel
  kBlocks,  ///< room for whole blocks of lattice columns, an odd number of them: no power-of-two
            ///< stride
};

/// Batches of stored rows, a queue for each group. Rows that the queues hold take no more than the
/// bank's memory; what pads under way still use of batches that are used up comes on top. Not
/// thread-safe, but pads may end on any thread, and after it.
class PadBank {
 public:
  /// `memory` in bytes, at least 0. Every group may hold the same number of rows.
  PadBank(const std::vector<RingGroup>& groups, const ModelConfig& config, PadRows layout,
          std::int64_t memory);
  ~PadBank();
  PadBank(const PadBank&) = delete;
  PadBank& operator=(const PadBank&) = delete;

  [[nodiscard]] const RingGroup& group(int index) const {
    return groups_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int groups() const noexcept { return static_cast<int>(groups_.size()); }
  /// Rows that a group may hold.
  [[nodiscard]] std::int64_t capacity() const noexcept { return capacity_; }
  /// Rows of a group that are ready.
  [[nodiscard]] std::int64_t ready(int group) const;
  /// Rows that a group may hold beside its batches that have rows left. At least 0.
  [[nodiscard]] std::int64_t room(int group) const;
  /// Bytes of all batches, those in use by pads and those that wait to be used again included.
  [[nodiscard]] std::int64_t bytes() const;

  /// Adds a batch that `fill` writes; if that throws, nothing is added. More rows than room() are
  /// for whoever takes them at once. Throws Error(kResourceExhausted).
  void make(int group, std::int64_t rows, const std::function<void(const PadBatch&)>& fill);
  /// Moves up to `rows` ready rows to `pad`, the oldest first; gives how many.
  std::int64_t take(int group, std::int64_t rows, Pad& pad);

 private:
  class Blocks;
  struct Slab;
  struct Group {
    std::int64_t input_stride = 0;
    std::int64_t output_stride[kMaxTensors] = {};
    std::vector<std::shared_ptr<Slab>> slabs;  ///< with rows left
  };

  std::vector<RingGroup> groups_;
  std::vector<Group> held_;
  std::int64_t capacity_ = 0;
  std::shared_ptr<Blocks> blocks_;
};

}  // namespace airlock
