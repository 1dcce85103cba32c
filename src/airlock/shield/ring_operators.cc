#include "airlock/shield/ring_operators.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/field.h"
#include "airlock/plan/lowering.h"
#include "airlock/shield/pad_tiles.h"
#include "airlock/shield/secret_memory.h"
#include "airlock/shield/shield_rates.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

/// Elements of other tiles, at least: below, handing out tasks costs more than they do.
constexpr std::int64_t kTileElements = 32768;

double ms_since(Clock::time_point began) {
  return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

std::size_t size_of(std::int64_t count, std::size_t element) {
  return static_cast<std::size_t>(count) * element;
}

}  // namespace

/// One call under way.
struct RingOperators::State {
  Call call;  ///< as the executor made it
  std::int64_t rows = 0;
  std::shared_ptr<const void> keys;  ///< of `products`, which others may renew meanwhile
  std::array<const RingProduct*, kMaxShared> products{};
  int matrices = 0;
  Pad pad;
  Buffer scales;  ///< [rows] RowScale
  Buffer noise;   ///< [rows, in] int8
  Buffer sent;    ///< [rows, in] as it crosses
  std::array<Buffer, kMaxShared> received;
  std::array<Tensor, kMaxShared> wanted;
  Buffer sums;  ///< [matrices][checks][rows]: (x_q + e)·(W·v)

  /// Gives back what secrets lie in; the pad is wiped.
  void end() noexcept {
    pad = Pad();
    keys.reset();
    for (Buffer* buffer : {&scales, &noise, &sent, &sums}) buffer->release();
    for (Buffer& buffer : received) buffer.release();
  }
};

/// What one thread works in.
struct RingOperators::ThreadMemory {
  Buffer tiles;  ///< as pad_tiles.h has them
  std::vector<std::uint32_t> sums;
  double pad_ms = 0;
  double kernel_ms = 0;
};

RingOperators::RingOperators(const Endpoint& below, RingModel& model, const Plan& plan,
                             PadSource* pads, NoiseSource* noise)
    : ForwardingOperators(below.operators()),
      model_(model),
      plan_(plan),
      checks_(plan.verify ? plan.soundness / 31 : 0),
      pads_(plan.mask == Mask::kPads ? pads : nullptr),
      own_noise_(noise == nullptr && pads_ != nullptr && pads_->needs_noise()
                     ? std::make_unique<SecretNoise>()
                     : nullptr),
      noise_(noise != nullptr ? noise : own_noise_.get()),
      transfer_(below.memory()),
      secret_(secret_blocks()),
      calls_(below.operators().lanes()) {
  require(plan.ring(), ErrorCode::kInternal, "plan {} is not of the ring", plan.name);
  require(plan.mask == Mask::kNone || pads != nullptr, ErrorCode::kInternal,
          "plan {} without a source of pads", plan.name);
  require(checks_ <= model.checks(), ErrorCode::kInternal, "{} checks with keys for {}", checks_,
          model.checks());
}

RingOperators::~RingOperators() = default;

Call RingOperators::rewrite(const Call& call) const {
  return with_ring_product(call, plan_.mask, plan_.verify);
}

ShieldTimes RingOperators::times() const {
  if (checks_ > 0 && !check_shares_) check_shares_ = measure_check_share(checks_);
  const auto [masking, unmasking] = check_shares_.value_or(std::pair(0.0, 0.0));
  ShieldTimes times;
  times.pad_ms = pad_ms_;
  times.check_ms = mask_ms_ * masking + unmask_ms_ * unmasking;
  times.convert_ms = mask_ms_ + unmask_ms_ - times.check_ms;
  if (pads_ != nullptr) times.pad_ms += pads_->stats().make_ms;
  return times;
}

template <typename Body>
void RingOperators::run_tiles(std::int64_t tasks, double& kernel_ms, const Body& body) {
  for (const auto& thread : threads_) thread->pad_ms = thread->kernel_ms = 0;
  const auto began = Clock::now();
  if (tasks == 1) {
    body(0, 0);
  } else {
    parallel_tasks(tasks, body);
  }
  const double wall = ms_since(began);
  double pads = 0;
  double kernels = 0;
  for (const auto& thread : threads_) {
    pads += thread->pad_ms;
    kernels += thread->kernel_ms;
  }
  const double kernel_wall = pads + kernels > 0 ? wall * kernels / (pads + kernels) : 0;
  pad_ms_ += wall - kernel_wall;
  kernel_ms += kernel_wall;
}

void RingOperators::zero_sums(int count, std::int64_t rows) {
  for (const auto& thread : threads_) {
    thread->sums.assign(static_cast<std::size_t>(count * rows), 0);
  }
}

void RingOperators::gather_sums(int count, std::int64_t rows) {
  std::vector<std::uint32_t>& first = threads_.front()->sums;
  for (std::size_t i = 1; i < threads_.size(); ++i) {
    const std::vector<std::uint32_t>& other = threads_[i]->sums;
    for (std::size_t j = 0; j < static_cast<std::size_t>(count * rows); ++j) {
      first[j] = field_add(first[j], other[j]);
    }
  }
}

std::int64_t RingOperators::tile_columns(const State& state, std::int64_t columns) const {
  const auto& segments = state.pad.segments();
  const bool made = std::any_of(segments.begin(), segments.end(), [](const PadSegment& segment) {
    return segment.secret != nullptr;
  });
  if (made) return kTileColumns;
  const std::int64_t wide = kTileElements / state.rows / kLatticeBlock * kLatticeBlock;
  return std::min(std::max(wide, kTileColumns), columns);
}

template <typename Body>
void RingOperators::for_each_tile(const State& state, PadPart part, std::int64_t column,
                                  std::int64_t columns, ThreadMemory& memory, const Body& body) {
  auto* const tiles = memory.tiles.as<std::uint32_t>();
  const auto make = [&](std::span<const PadSegment> segments) {
    const auto began = Clock::now();
    make_tiles(segments, part, column, columns, tiles);
    memory.pad_ms += ms_since(began);
  };
  for_each_piece(state.pad, state.rows, part, column, tiles, make, body);
}

void RingOperators::quantize(State& state, const ConstTensor& x) {
  const std::int64_t columns = state.products[0]->in;
  double max_norm = 0;
  for (int i = 0; i < state.matrices; ++i) {
    max_norm = std::max(max_norm, state.products[static_cast<std::size_t>(i)]->max_norm);
  }
  const double noise_norm =
      noise_ != nullptr ? kNoiseBound * std::sqrt(static_cast<double>(columns)) : 0;
  const double margin = plan_.verify ? 0 : std::ldexp(1.0, kRing16Shift - 1);
  const bool int16 = plan_.mask == Mask::kNone;
  state.scales = secret_.acquire(size_of(state.rows, sizeof(RowScale)));
  auto* const scales = state.scales.as<RowScale>();
  const auto* const values = reinterpret_cast<const float*>(x.data);
  // Of no rows: throws here, where a throw is allowed, if the weights leave no room.
  (void)row_scales(values, 0, columns, max_norm, noise_norm, margin, int16, {});
  std::atomic<std::int64_t> bad{state.rows};
  const std::int64_t grain = std::max<std::int64_t>(1, kTileElements / columns);
  parallel_for(state.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t row =
        row_scales(values + begin * columns, end - begin, columns, max_norm, noise_norm, margin,
                   int16, {scales + begin, static_cast<std::size_t>(end - begin)});
    if (row < 0) return;
    std::int64_t first = bad.load();
    while (begin + row < first && !bad.compare_exchange_weak(first, begin + row)) {
    }
  });
  require(bad == state.rows, ErrorCode::kInvalidArgument,
          "{}: row {} of its input has a value that is not finite", state.call, bad.load());
  if (noise_ == nullptr) return;
  const auto began = Clock::now();
  state.noise = secret_.acquire(size_of(state.rows, static_cast<std::size_t>(columns)));
  noise_->fill(values, state.rows, columns, state.noise.as<std::int8_t>());
  pad_ms_ += ms_since(began);
}

void RingOperators::mask(State& state, const ConstTensor& x) {
  const std::int64_t columns = state.products[0]->in;
  const int sums = checks_ * state.matrices;
  const DType dtype = plan_.mask == Mask::kPads ? DType::kRing : DType::kI16;
  const std::size_t element = dtype_size(dtype);
  state.sent = transfer_.acquire(size_of(state.rows * columns, element));
  zero_sums(sums, state.rows);
  const std::int64_t width = tile_columns(state, columns);
  const auto body = [&](std::int64_t task, int thread) {
    ThreadMemory& memory = memory_of(thread);
    const std::int64_t column = task * width;
    MaskTile tile;
    tile.columns = std::min(width, columns - column);
    tile.x_stride = tile.out_stride = tile.noise_stride = columns;
    tile.out_dtype = dtype;
    tile.checks = sums;
    for (int m = 0; m < state.matrices; ++m) {
      const RingProduct& product = *state.products[static_cast<std::size_t>(m)];
      for (int c = 0; c < checks_; ++c) {
        tile.keys[m * checks_ + c] =
            product.key_products.as<std::uint32_t>() + c * product.in + column;
      }
    }
    const auto run = [&](const TileRows& rows) {
      const std::int64_t at = rows.first * columns + column;
      tile.rows = rows.rows;
      tile.x = reinterpret_cast<const float*>(x.data) + at;
      tile.scales = state.scales.as<RowScale>() + rows.first;
      tile.noise = noise_ != nullptr ? state.noise.as<std::int8_t>() + at : nullptr;
      tile.out = state.sent.data() + static_cast<std::size_t>(at) * element;
      tile.pad = rows.pad;
      tile.pad_stride = rows.pad_stride;
      for (int i = 0; i < sums; ++i) {
        tile.sums[i] = memory.sums.data() + i * state.rows + rows.first;
      }
      const auto began = Clock::now();
      mask_tile(tile);
      memory.kernel_ms += ms_since(began);
    };
    for_each_tile(state, {}, column, tile.columns, memory, run);
  };
  run_tiles((columns + width - 1) / width, mask_ms_, body);
  gather_sums(sums, state.rows);
  const std::size_t bytes = size_of(sums * state.rows, sizeof(std::uint32_t));
  state.sums = secret_.acquire(bytes);
  if (bytes > 0) std::memcpy(state.sums.data(), threads_.front()->sums.data(), bytes);
}

void RingOperators::unmask(State& state, int index) {
  const auto m = static_cast<std::size_t>(index);
  const RingProduct& product = *state.products[m];
  const std::int64_t columns = product.out;
  const DType dtype = plan_.verify ? DType::kRing : DType::kRing16;
  zero_sums(checks_, state.rows);
  const std::int64_t width = tile_columns(state, columns);
  const auto body = [&](std::int64_t task, int thread) {
    ThreadMemory& memory = memory_of(thread);
    const std::int64_t column = task * width;
    UnmaskTile tile;
    tile.columns = std::min(width, columns - column);
    tile.y_stride = tile.out_stride = columns;
    tile.y_dtype = dtype;
    tile.weight_scales = product.scales.as<float>() + column;
    tile.checks = checks_;
    for (int c = 0; c < checks_; ++c) {
      tile.keys[c] = product.keys.as<std::uint32_t>() + c * product.out + column;
    }
    const auto run = [&](const TileRows& rows) {
      const std::int64_t at = rows.first * columns + column;
      tile.rows = rows.rows;
      tile.y = state.received[m].data() + static_cast<std::size_t>(at) * dtype_size(dtype);
      tile.scales = state.scales.as<RowScale>() + rows.first;
      tile.out = state.wanted[m].as<float>() + at;
      tile.pad = rows.pad;
      tile.pad_stride = rows.pad_stride;
      for (int c = 0; c < checks_; ++c) {
        tile.sums[c] = memory.sums.data() + c * state.rows + rows.first;
      }
      const auto began = Clock::now();
      unmask_tile(tile);
      memory.kernel_ms += ms_since(began);
    };
    for_each_tile(state, {index}, column, tile.columns, memory, run);
  };
  run_tiles((columns + width - 1) / width, unmask_ms_, body);
  gather_sums(checks_, state.rows);
}

void RingOperators::compare(const State& state, int index) {
  const std::int64_t count = checks_ * state.rows;
  const auto* const expected = state.sums.as<std::uint32_t>() + index * count;
  const std::uint32_t* const found = threads_.front()->sums.data();
  std::uint32_t differs = 0;
  for (std::int64_t i = 0; i < count; ++i) differs |= expected[i] ^ found[i];
  if (differs == 0) return;
  model_.fail_keys();
  Call call = state.call;
  call.weights = {state.products[static_cast<std::size_t>(index)]->weight};
  call.op = Op::kRingLinear;
  fail(ErrorCode::kCheckFailed,
       "{}: what came back is not the product (checked to {} bits): the worker, its hints or a "
       "dealer lied, and nothing of it was used",
       call, plan_.soundness);
}

CallTicket RingOperators::submit(const Call& call, std::span<const ConstTensor> inputs,
                                 std::span<const Tensor> outputs) {
  const Call lowered = rewrite(call);
  require(lowered.op == Op::kRingLinear, ErrorCode::kInternal, "{}: the ring has no such product",
          call);
  require(inputs.size() == 1 && inputs[0].spec == TensorSpec{DType::kF32, call.inputs[0].shape} &&
              outputs.size() == static_cast<std::size_t>(lowered.weights.size()),
          ErrorCode::kInternal, "{}: {} inputs and {} outputs in memory", call, inputs.size(),
          outputs.size());
  model_.renew_failed_keys();
  std::unique_ptr<State>& slot = calls_.next();
  if (slot == nullptr) slot = std::make_unique<State>();
  State& state = *slot;
  state.call = call;
  state.rows = call.inputs[0].shape[0];
  state.matrices = lowered.weights.size();
  state.keys = model_.keys();
  for (int i = 0; i < state.matrices; ++i) {
    state.products[static_cast<std::size_t>(i)] = &model_.product(call.layer, lowered.weights[i]);
  }
  while (threads_.size() < static_cast<std::size_t>(threads())) {
    threads_.push_back(std::make_unique<ThreadMemory>());
  }
  try {
    const CallTicket ticket = send(state, lowered, inputs[0], outputs);
    calls_.begin(ticket);
    return ticket;
  } catch (...) {
    state.end();
    throw;
  }
}

CallTicket RingOperators::send(State& state, const Call& lowered, const ConstTensor& x,
                               std::span<const Tensor> outputs) {
  const Call& call = state.call;
  quantize(state, x);
  if (pads_ != nullptr) {
    state.pad =
        pads_->take(ring_group_of(model_.config(), call.layer, lowered.weights[0]), state.rows);
    require(state.pad.rows() == state.rows, ErrorCode::kInternal, "{}: a pad of {} rows for {}",
            call, state.pad.rows(), state.rows);
    for (const auto& thread : threads_) make_tile_room(state.pad, secret_, thread->tiles);
  }
  mask(state, x);
  std::array<Tensor, kMaxShared> replies;
  for (int i = 0; i < state.matrices; ++i) {
    const auto m = static_cast<std::size_t>(i);
    const TensorSpec spec{lowered.reply_dtype, {state.rows, state.products[m]->out}};
    require(outputs[m].spec == TensorSpec{DType::kF32, spec.shape}, ErrorCode::kInternal,
            "{}: output {} is {} {} in memory", call, i, dtype_name(outputs[m].spec.dtype),
            outputs[m].spec.shape);
    state.received[m] = transfer_.acquire(static_cast<std::size_t>(spec.bytes()));
    replies[m] = {spec, state.received[m].data()};
    state.wanted[m] = outputs[m];
  }
  const std::array<ConstTensor, 1> sent = {ConstTensor{lowered.inputs[0], state.sent.data()}};
  return next().submit(lowered, sent, std::span(replies).first(outputs.size()));
}

void RingOperators::collect(CallTicket ticket) {
  State& state = *calls_.end(ticket);
  // The pad ends with the call, however that ends.
  struct End {
    State& state;
    ~End() { state.end(); }
  } end{state};
  next().collect(ticket);
  for (int i = 0; i < state.matrices; ++i) {
    unmask(state, i);
    compare(state, i);
  }
}

void RingOperators::abandon() noexcept {
  next().abandon();
  calls_.each([](std::unique_ptr<State>& state) {
    if (state != nullptr) state->end();
  });
  calls_.clear();
}

}  // namespace airlock
