#include "airlock/shield/pad_products.h"

#include <algorithm>
#include <array>

#include "airlock/math/field.h"

namespace airlock {
namespace {

constexpr int kMostProductsUnderWay = 2;

}  // namespace

std::int64_t pad_rows_a_call(const RingGroup& group) noexcept {
  constexpr std::int64_t kWhole = 8;  // rows that tables of polynomials are filled with at a time
  const std::int64_t row_bytes = group.out * static_cast<std::int64_t>(sizeof(std::uint32_t));
  const std::int64_t rows = std::clamp<std::int64_t>(kPadReplyBytes / row_bytes, 1, kMaxPadRows);
  return rows > kWhole ? rows / kWhole * kWhole : rows;
}

PadProducts::PadProducts(Operators& operators, const RingModel& model, const FieldSeed& seed,
                         PadStats& stats)
    : operators_(operators),
      model_(model),
      seed_(seed),
      stats_(stats),
      depth_(std::min(operators.lanes(), kMostProductsUnderWay)) {}

CallTicket PadProducts::submit(const PadPiece& piece, int slot, const Outputs& outputs) {
  const RingGroup& group = model_.groups()[static_cast<std::size_t>(piece.group)];
  Call call;
  call.op = Op::kPadProduct;
  call.layer = group.layer;
  call.weights = group.weights;
  call.ranges = {{0, static_cast<std::int32_t>(piece.rows), piece.row}};
  call.reply_dtype = DType::kRing;
  static_assert(sizeof(FieldSeed) == 4 * sizeof(std::int64_t));
  const TensorSpec seed{DType::kI64, {4}};
  call.inputs = {seed};
  const ConstTensor input{seed, std::as_bytes(std::span(seed_)).data()};

  std::array<Tensor, kMaxTensors> tensors;
  const auto matrices = static_cast<std::size_t>(group.weights.size());
  std::int64_t received = 0;
  for (std::size_t k = 0; k < matrices; ++k) {
    const Shape weight = weight_shape(model_.config(), group.weights[static_cast<int>(k)]);
    tensors[k].spec = {DType::kRing, {piece.rows, weight[0]}};
    received += tensors[k].bytes();
  }
  outputs(piece, slot, std::span(tensors).first(matrices));
  const CallTicket ticket =
      operators_.submit(call, {&input, 1}, std::span(tensors).first(matrices));
  stats_.prepared_sent += input.bytes();
  stats_.prepared_received += received;
  return ticket;
}

void PadProducts::run(std::span<const PadPiece> pieces, const Outputs& outputs, const Done& done) {
  std::array<CallTicket, kMostProductsUnderWay> tickets;
  const auto depth = static_cast<std::size_t>(depth_);
  std::size_t submitted = 0;
  try {
    for (std::size_t next = 0; next < pieces.size(); ++next) {
      while (submitted < pieces.size() && submitted < next + depth) {
        const std::size_t slot = submitted % depth;
        tickets[slot] = submit(pieces[submitted], static_cast<int>(slot), outputs);
        ++submitted;
      }
      const std::size_t slot = next % depth;
      operators_.collect(tickets[slot]);
      done(pieces[next], static_cast<int>(slot));
    }
  } catch (...) {
    operators_.abandon();
    throw;
  }
}

void reduce_to_field(std::span<std::uint32_t> values) noexcept {
  // Two subtractions: 2^32 is less than 3 p. Where one goes below zero the value was the smaller.
  for (std::uint32_t& value : values) {
    const std::uint32_t once = std::min(value, value - kFieldPrime);
    value = std::min(once, once - kFieldPrime);
  }
}

}  // namespace airlock
