// Calls whose rows know nothing of each other, cut into pieces that are each a call.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"

namespace airlock {

/// Rows that may be computed apart: those of BatchLinear, GatedMLP, LMHead, RingLinear and
/// PadProduct, unless a tensor travels as int8, whose scales lie behind all rows. 0: the call is
/// computed as one.
[[nodiscard]] std::int64_t rows_apart(const Call& call) noexcept;

/// Some rows of a call, with where they lie.
struct RowSlice {
  Call call;
  std::array<ConstTensor, kMaxTensors> inputs;
  std::array<Tensor, kMaxTensors> outputs;
};

/// Makes `slice` rows [first, first + count) of a call of rows_apart above 0. With `first` a
/// multiple of 64, tensors that are 64-byte aligned give slices that are. Never allocates.
void cut_rows(const Call& call, std::span<const ConstTensor> inputs,
              std::span<const Tensor> outputs, std::int64_t first, std::int64_t count,
              RowSlice& slice);

}  // namespace airlock
