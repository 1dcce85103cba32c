// Products of a seed's rows with a group's weights, asked of a worker or a dealer in calls whose
// replies have a bounded size.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/math/field_random.h"
#include "airlock/ops/operators.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"

namespace airlock {

/// Bytes of one PadProduct's reply, unless a single row has more.
inline constexpr std::int64_t kPadReplyBytes = std::int64_t{32} << 20;

/// Rows of one PadProduct of `group`.
[[nodiscard]] std::int64_t pad_rows_a_call(const RingGroup& group) noexcept;

/// Rows [row, row + rows) of the product of one group.
struct PadPiece {
  int group = 0;
  std::int64_t row = 0;
  std::int64_t rows = 0;
};

/// Asks for the pieces in order, up to two calls at a time (`operators.lanes()` allowing), and adds
/// their payload to `stats`. None may be under way at the start; none is at the end.
class PadProducts {
 public:
  PadProducts(Operators& operators, const RingModel& model, const FieldSeed& seed, PadStats& stats);
  ~PadProducts() { wipe(std::as_writable_bytes(std::span(seed_))); }
  PadProducts(const PadProducts&) = delete;
  PadProducts& operator=(const PadProducts&) = delete;

  /// Calls under way at most.
  [[nodiscard]] int depth() const noexcept { return depth_; }
  /// `outputs(piece, slot, tensors)` sets where its replies go, [rows, out] ring for each matrix of
  /// the group; `slot`, below depth(), is free then, until `done(piece, slot)` has come back.
  using Outputs = std::function<void(const PadPiece&, int slot, std::span<Tensor>)>;
  using Done = std::function<void(const PadPiece&, int slot)>;
  void run(std::span<const PadPiece> pieces, const Outputs& outputs, const Done& done);

 private:
  CallTicket submit(const PadPiece& piece, int slot, const Outputs& outputs);

  Operators& operators_;
  const RingModel& model_;
  alignas(BufferPool::kAlignment) FieldSeed seed_;
  PadStats& stats_;
  int depth_;
};

/// Elements that are residues modulo p in any 32 bits become those below p.
void reduce_to_field(std::span<std::uint32_t> values) noexcept;

}  // namespace airlock
