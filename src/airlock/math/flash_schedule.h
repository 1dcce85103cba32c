// How a call of flash attention is cut into items, and the work of one item on one thread. Internal
// to math/: flash_attention.cc shares the items out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "airlock/math/flash_attention.h"
#include "airlock/math/flash_kernel.h"

namespace airlock {

/// Threads that so much work is worth.
[[nodiscard]] std::int64_t flash_team(double operations);

/// How a call is cut. An item is one KV head, a block of tokens (with every query head that shares
/// the KV head) and one of `splits` parts of the context.
struct FlashSchedule {
  const FlashKernel& kernel;
  const FlashAttentionArgs& args;
  double operations;
  std::int64_t group;         ///< query heads a KV head serves
  std::int64_t block_tokens;  ///< tokens in an item
  std::int64_t blocks;
  std::int64_t splits;
  std::int64_t items;
  std::int64_t workers;
  std::int64_t panels;  ///< of an item

  /// Both must outlive it; `args` have been checked.
  FlashSchedule(const FlashKernel& kernel, const FlashAttentionArgs& args);

  [[nodiscard]] std::int64_t blocks_of(std::int64_t size) const {
    return (args.tokens + size - 1) / size;
  }
  [[nodiscard]] std::int64_t rows() const { return panels * kernel.panel_rows; }
  [[nodiscard]] std::int64_t output_floats() const {
    return kernel.output_rows(args.head_dim) * rows();
  }
  [[nodiscard]] std::int64_t partials() const { return splits > 1 ? items : 0; }
  /// Floats a split item leaves for the merge: max and sum [rows] each, then output.
  [[nodiscard]] std::int64_t partial_floats() const;
  /// Of the whole call: each worker's workspace, then the partial results.
  [[nodiscard]] std::int64_t scratch_bytes() const;
};

/// One thread's memory, and how it is laid out in one block of bytes.
struct FlashWorkspace {
  const void** inputs;
  void** outputs;
  std::int32_t* limits;
  FlashPanel* panels;
  std::byte* queries;
  std::byte* keys;
  std::byte* values;
  std::byte* scratch;
  float* max;
  float* sum;
  float* output;

  /// Places everything from `base` on (which may be null, to measure); returns the bytes taken.
  std::int64_t place(const FlashSchedule& schedule, std::byte* base);
};

/// One item of the schedule, on one thread.
class FlashItem {
 public:
  /// `schedule` must outlive it. Late blocks see the longest context and come first, so that short
  /// ones fill the gaps at the end.
  FlashItem(const FlashSchedule& schedule, std::int64_t index);

  /// Unnormalised output, max and sum of the item's rows, into `w`.
  void run(const FlashWorkspace& w) const;
  /// Writes run's results to `partial`: [partial_floats].
  void store(const FlashWorkspace& w, float* partial) const;
  /// Merges the `splits` partial results of an item, the first at `partial`, into `w`.
  void merge(const FlashWorkspace& w, const float* partial) const;
  /// Output rows from unnormalised `output` and `sum` (which becomes its inverse).
  void finish(const FlashWorkspace& w) const;

 private:
  void collect_rows(const FlashWorkspace& w) const;
  void clear(const FlashWorkspace& w) const;
  template <typename Pointer>
  void fetch(Pointer* rows, std::int64_t p, DType dtype) const;
  void add_keys(const FlashWorkspace& w, std::int64_t key, std::int64_t count) const;

  [[nodiscard]] std::int64_t panels() const;
  [[nodiscard]] std::int64_t panel_rows(std::int64_t p) const;
  [[nodiscard]] std::byte* queries(const FlashWorkspace& w, std::int64_t p) const;
  [[nodiscard]] float* output(const FlashWorkspace& w, std::int64_t p) const;
  /// Keys that row `row` of the item attends to.
  [[nodiscard]] std::int64_t seen(std::int64_t row) const {
    return s_.args.position + first_token_ + row / s_.group + 1;
  }

  const FlashSchedule& s_;
  std::int64_t split_;
  std::int64_t kv_head_;
  std::int64_t first_token_;
  std::int64_t end_token_;
  std::int64_t rows_;
};

}  // namespace airlock
