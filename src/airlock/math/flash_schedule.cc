#include "airlock/math/flash_schedule.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <type_traits>

#include "airlock/core/threads.h"
#include "airlock/math/attention_state.h"

namespace airlock {
namespace {

// Operations that make a thread worth waking: some 50 us at decode's rate, which memory bounds.
constexpr double kThreadOperations = 1 << 20;
// Items a thread should have, so that the last to finish is soon done.
constexpr std::int64_t kItemsPerThread = 4;

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
std::int64_t aligned(std::int64_t bytes) {
  return divide_up(bytes, 64) * 64;
}

const std::byte* row_of(const ConstHeadsView& view, DType dtype, std::int64_t token,
                        std::int64_t head) {
  return static_cast<const std::byte*>(view.data) +
         (token * view.token_stride + head * view.head_stride) *
             static_cast<std::int64_t>(dtype_size(dtype));
}

}  // namespace

std::int64_t flash_team(double operations) {
  return static_cast<std::int64_t>(
      std::clamp<double>(operations / kThreadOperations, 1, threads()));
}

FlashSchedule::FlashSchedule(const FlashKernel& k, const FlashAttentionArgs& a)
    : kernel(k), args(a) {
  group = args.heads / args.kv_heads;
  const std::int64_t context = args.position + args.tokens;
  operations = 4.0 * static_cast<double>(args.head_dim * args.heads) *
               static_cast<double>(args.tokens) * static_cast<double>(context);
  const std::int64_t team = flash_team(operations);
  const std::int64_t wanted = kItemsPerThread * team;
  const std::int64_t least = std::max<std::int64_t>(1, kernel.panel_rows / group);
  block_tokens = std::min(std::max(kernel.item_rows / group, least), args.tokens);
  while (block_tokens > least && blocks_of(block_tokens) * args.kv_heads < wanted) {
    block_tokens = std::max(least, block_tokens / 2);
  }
  blocks = blocks_of(block_tokens);
  const std::int64_t parts = std::max<std::int64_t>(1, context / (4 * kernel.key_block));
  splits = std::clamp<std::int64_t>(divide_up(wanted, blocks * args.kv_heads), 1, parts);
  if (blocks * args.kv_heads >= team) splits = 1;
  items = blocks * args.kv_heads * splits;
  workers = std::min(team, items);
  panels = divide_up(block_tokens * group, kernel.panel_rows);
}

std::int64_t FlashSchedule::partial_floats() const {
  return aligned((2 * rows() + output_floats()) * 4) / 4;
}

std::int64_t FlashSchedule::scratch_bytes() const {
  FlashWorkspace w{};
  return workers * w.place(*this, nullptr) + partials() * partial_floats() * 4;
}

std::int64_t FlashWorkspace::place(const FlashSchedule& s, std::byte* base) {
  std::int64_t used = 0;
  const auto take = [&](auto*& pointer, std::int64_t bytes) {
    if (base != nullptr) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base + used);
    }
    used += aligned(bytes);
  };
  const std::int64_t dim = s.args.head_dim;
  take(inputs, s.rows() * 8);
  take(outputs, s.rows() * 8);
  take(limits, s.rows() * 4);
  take(panels, s.panels * static_cast<std::int64_t>(sizeof(FlashPanel)));
  take(queries, s.panels * s.kernel.query_bytes(dim));
  take(keys, s.kernel.key_bytes(dim));
  take(values, s.kernel.value_bytes(dim));
  take(scratch, s.kernel.scratch_bytes(dim));
  take(max, s.rows() * 4);
  take(sum, s.rows() * 4);
  take(output, s.output_floats() * 4);
  return used;
}

FlashItem::FlashItem(const FlashSchedule& schedule, std::int64_t index) : s_(schedule) {
  split_ = index % s_.splits;
  kv_head_ = index / s_.splits % s_.args.kv_heads;
  const std::int64_t block = s_.blocks - 1 - index / s_.splits / s_.args.kv_heads;
  first_token_ = block * s_.block_tokens;
  end_token_ = std::min(first_token_ + s_.block_tokens, s_.args.tokens);
  rows_ = (end_token_ - first_token_) * s_.group;
}

void FlashItem::run(const FlashWorkspace& w) const {
  collect_rows(w);
  clear(w);
  for (std::int64_t p = 0; p < panels(); ++p) {
    const std::int64_t row = p * s_.kernel.panel_rows;
    fetch(w.inputs + row, p + 1, s_.args.dtype);
    s_.kernel.pack_queries(w.inputs + row, panel_rows(p), s_.args.head_dim, queries(w, p));
  }
  const std::int64_t context = s_.args.position + end_token_;
  const std::int64_t key_blocks = divide_up(context, s_.kernel.key_block);
  const std::int64_t first = key_blocks * split_ / s_.splits * s_.kernel.key_block;
  const std::int64_t end =
      std::min(context, key_blocks * (split_ + 1) / s_.splits * s_.kernel.key_block);
  for (std::int64_t key = first; key < end; key += s_.kernel.key_block) {
    add_keys(w, key, std::min(s_.kernel.key_block, end - key));
  }
}

void FlashItem::clear(const FlashWorkspace& w) const {
  std::fill_n(w.output, s_.output_floats(), 0.0F);
  std::fill_n(w.max, s_.rows(), AttentionState::kNoKeys);
  std::fill_n(w.sum, s_.rows(), 0.0F);
}

void FlashItem::store(const FlashWorkspace& w, float* partial) const {
  std::copy_n(w.max, s_.rows(), partial);
  std::copy_n(w.sum, s_.rows(), partial + s_.rows());
  std::copy_n(w.output, s_.output_floats(), partial + 2 * s_.rows());
}

void FlashItem::merge(const FlashWorkspace& w, const float* partial) const {
  collect_rows(w);
  clear(w);
  const std::int64_t width = s_.kernel.panel_rows;
  const std::int64_t panel_floats = s_.kernel.output_rows(s_.args.head_dim) * width;
  for (std::int64_t split = 0; split < s_.splits; ++split, partial += s_.partial_floats()) {
    for (std::int64_t row = 0; row < s_.rows(); ++row) {
      AttentionState state{w.max[row], w.sum[row]};
      const auto [mine, other] = state.merge({partial[row], partial[s_.rows() + row]});
      w.max[row] = state.max;
      w.sum[row] = state.sum;
      const std::int64_t at = row / width * panel_floats + row % width;
      const float* from = partial + 2 * s_.rows();
      for (std::int64_t i = at; i < at + panel_floats - row % width; i += width) {
        w.output[i] = mine * w.output[i] + other * from[i];
      }
    }
  }
}

void FlashItem::finish(const FlashWorkspace& w) const {
  for (std::int64_t r = 0; r < rows_; ++r) w.sum[r] = 1.0F / w.sum[r];
  for (std::int64_t p = 0; p < panels(); ++p) {
    const std::int64_t row = p * s_.kernel.panel_rows;
    fetch(w.outputs + row, p + 1, s_.args.out_dtype);
    s_.kernel.finish(output(w, p), w.sum + row, panel_rows(p), s_.args.head_dim, s_.args.out_dtype,
                     w.outputs + row);
  }
}

// Row r of the item is query head r % group of the group, token r / group: neighbours see
// nearly the same keys.
void FlashItem::collect_rows(const FlashWorkspace& w) const {
  const auto out_size = static_cast<std::int64_t>(dtype_size(s_.args.out_dtype));
  std::int64_t row = 0;
  for (std::int64_t token = first_token_; token < end_token_; ++token) {
    for (std::int64_t h = kv_head_ * s_.group; h < (kv_head_ + 1) * s_.group; ++h, ++row) {
      w.inputs[row] = row_of(s_.args.q, s_.args.dtype, token, h);
      w.outputs[row] = static_cast<std::byte*>(s_.args.out.data) +
                       (token * s_.args.out.token_stride + h * s_.args.out.head_stride) * out_size;
    }
  }
}

std::int64_t FlashItem::panels() const {
  return divide_up(rows_, s_.kernel.panel_rows);
}

std::int64_t FlashItem::panel_rows(std::int64_t p) const {
  return std::min(s_.kernel.panel_rows, rows_ - p * s_.kernel.panel_rows);
}

std::byte* FlashItem::queries(const FlashWorkspace& w, std::int64_t p) const {
  return w.queries + p * s_.kernel.query_bytes(s_.args.head_dim);
}

float* FlashItem::output(const FlashWorkspace& w, std::int64_t p) const {
  return w.output + p * s_.kernel.output_rows(s_.args.head_dim) * s_.kernel.panel_rows;
}

// Asks for panel p's rows, one panel past `rows`: a page apart, no hardware prefetcher sees them
// coming.
template <typename Pointer>
void FlashItem::fetch(Pointer* rows, std::int64_t p, DType dtype) const {
  if (p >= panels()) return;
  const std::int64_t bytes = s_.args.head_dim * static_cast<std::int64_t>(dtype_size(dtype));
  for (std::int64_t r = 0; r < panel_rows(p); ++r) {
    const auto* row = static_cast<const std::byte*>(rows[s_.kernel.panel_rows + r]);
    for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
  }
}

void FlashItem::add_keys(const FlashWorkspace& w, std::int64_t key, std::int64_t count) const {
  const FlashAttentionArgs& args = s_.args;
  const auto size = static_cast<std::int64_t>(dtype_size(args.dtype));
  s_.kernel.pack_keys(row_of(args.k, args.dtype, key, kv_head_), args.k.token_stride * size, count,
                      args.head_dim, w.keys);
  s_.kernel.pack_values(row_of(args.v, args.dtype, key, kv_head_), args.v.token_stride * size,
                        count, args.head_dim, w.values);
  // A scale of 0 would turn the -infinity of a hidden key into NaN.
  const float scale =
      std::max(args.scale * std::numbers::log2e_v<float>, std::numeric_limits<float>::min());
  std::int64_t used = 0;
  for (std::int64_t p = 0; p < panels(); ++p) {
    const std::int64_t row = p * s_.kernel.panel_rows;
    const std::int64_t seen_first = seen(row) - key;
    const std::int64_t seen_last = seen(row + panel_rows(p) - 1) - key;
    if (seen_last <= 0) continue;
    const std::int64_t key_count = std::min(count, seen_last);
    const bool masked = seen_first < key_count;
    if (masked) {
      for (std::int64_t r = 0; r < s_.kernel.panel_rows; ++r) {
        const std::int64_t real = std::min(r, panel_rows(p) - 1);
        w.limits[row + r] = static_cast<std::int32_t>(
            std::clamp<std::int64_t>(seen(row + real) - key, 0, key_count));
      }
    }
    w.panels[used++] = {.queries = queries(w, p),
                        .keys = w.keys,
                        .values = w.values,
                        .head_dim = args.head_dim,
                        .rows = panel_rows(p),
                        .key_count = key_count,
                        .limits = masked ? w.limits + row : nullptr,
                        .scale = scale,
                        .output = output(w, p),
                        .max = w.max + row,
                        .sum = w.sum + row,
                        .scratch = w.scratch};
  }
  s_.kernel.run(w.panels, used);
}

}  // namespace airlock
