#include "airlock/math/flash_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/attention_state.h"
#include "airlock/math/flash_kernel.h"

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

void check(const FlashAttentionArgs& args) {
  // Above any model, and low enough that no size computed from them overflows.
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  constexpr std::int64_t kMostHeads = std::int64_t{1} << 16;
  const auto within = [](std::int64_t value, std::int64_t low, std::int64_t high) {
    return value >= low && value <= high;
  };
  require(within(args.tokens, 0, kMost) && within(args.position, 0, kMost) &&
              within(args.heads, 1, kMostHeads) && within(args.kv_heads, 1, args.heads) &&
              within(args.head_dim, 1, kMostHeads) && args.heads % args.kv_heads == 0,
          ErrorCode::kInvalidArgument,
          "flash attention of {} tokens at position {}, {} heads, {} KV heads, head_dim {}: "
          "expected 0 <= tokens and position <= {}, KV heads that divide heads, heads and head_dim "
          "from 1 to {}",
          args.tokens, args.position, args.heads, args.kv_heads, args.head_dim, kMost, kMostHeads);
  const auto is_wide = [](DType d) { return d == DType::kF32 || d == DType::kBF16; };
  require(is_wide(args.dtype) && is_wide(args.out_dtype), ErrorCode::kInvalidArgument,
          "flash attention from {} to {}, expected f32 or bf16", dtype_name(args.dtype),
          dtype_name(args.out_dtype));
  require(std::isfinite(args.scale) && args.scale >= 0, ErrorCode::kInvalidArgument,
          "flash attention: scale is {}, expected finite and not negative", args.scale);
}

/// Threads that so much work is worth.
std::int64_t team_for(double operations) {
  return static_cast<std::int64_t>(
      std::clamp<double>(operations / kThreadOperations, 1, threads()));
}

/// How a call is cut. An item is one KV head, a block of tokens (with every query head that shares
/// the KV head) and one of `splits` parts of the context.
struct Schedule {
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

  Schedule(const FlashKernel& k, const FlashAttentionArgs& a) : kernel(k), args(a) {
    group = args.heads / args.kv_heads;
    const std::int64_t context = args.position + args.tokens;
    operations = 4.0 * static_cast<double>(args.head_dim * args.heads) *
                 static_cast<double>(args.tokens) * static_cast<double>(context);
    const std::int64_t team = team_for(operations);
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

  [[nodiscard]] std::int64_t blocks_of(std::int64_t size) const {
    return divide_up(args.tokens, size);
  }
  [[nodiscard]] std::int64_t rows() const { return panels * kernel.panel_rows; }
  [[nodiscard]] std::int64_t output_floats() const {
    return kernel.output_rows(args.head_dim) * rows();
  }
  [[nodiscard]] std::int64_t partials() const { return splits > 1 ? items : 0; }
};

/// One thread's memory, and how it is laid out in one block of bytes.
struct Workspace {
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
  std::int64_t place(const Schedule& s, std::byte* base) {
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
};

/// What a split item leaves for the merge: max and sum [rows] each, then output.
std::int64_t partial_floats(const Schedule& s) {
  return aligned((2 * s.rows() + s.output_floats()) * 4) / 4;
}

const std::byte* row_of(const ConstHeadsView& view, DType dtype, std::int64_t token,
                        std::int64_t head) {
  return static_cast<const std::byte*>(view.data) +
         (token * view.token_stride + head * view.head_stride) *
             static_cast<std::int64_t>(dtype_size(dtype));
}

/// One item of the schedule, on one thread.
class Item {
 public:
  /// Late blocks see the longest context and come first, so that short ones fill the gaps at the
  /// end.
  Item(const Schedule& schedule, std::int64_t index) : s_(schedule) {
    split_ = index % s_.splits;
    kv_head_ = index / s_.splits % s_.args.kv_heads;
    const std::int64_t block = s_.blocks - 1 - index / s_.splits / s_.args.kv_heads;
    first_token_ = block * s_.block_tokens;
    end_token_ = std::min(first_token_ + s_.block_tokens, s_.args.tokens);
    rows_ = (end_token_ - first_token_) * s_.group;
  }

  void run(const Workspace& w) const {
    collect_rows(w);
    std::fill_n(w.output, s_.output_floats(), 0.0F);
    std::fill_n(w.max, s_.rows(), AttentionState::kNoKeys);
    std::fill_n(w.sum, s_.rows(), 0.0F);
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

  /// Output rows from unnormalised `output` and `sum` (which becomes its inverse).
  void finish(const Workspace& w) const {
    for (std::int64_t r = 0; r < rows_; ++r) w.sum[r] = 1.0F / w.sum[r];
    for (std::int64_t p = 0; p < panels(); ++p) {
      const std::int64_t row = p * s_.kernel.panel_rows;
      fetch(w.outputs + row, p + 1, s_.args.out_dtype);
      s_.kernel.finish(output(w, p), w.sum + row, panel_rows(p), s_.args.head_dim,
                       s_.args.out_dtype, w.outputs + row);
    }
  }

  /// Row r of the item is query head r % group of the group, token r / group: neighbours see
  /// nearly the same keys.
  void collect_rows(const Workspace& w) const {
    const auto out_size = static_cast<std::int64_t>(dtype_size(s_.args.out_dtype));
    std::int64_t row = 0;
    for (std::int64_t token = first_token_; token < end_token_; ++token) {
      for (std::int64_t h = kv_head_ * s_.group; h < (kv_head_ + 1) * s_.group; ++h, ++row) {
        w.inputs[row] = row_of(s_.args.q, s_.args.dtype, token, h);
        w.outputs[row] =
            static_cast<std::byte*>(s_.args.out.data) +
            (token * s_.args.out.token_stride + h * s_.args.out.head_stride) * out_size;
      }
    }
  }

 private:
  [[nodiscard]] std::int64_t panels() const { return divide_up(rows_, s_.kernel.panel_rows); }
  [[nodiscard]] std::int64_t panel_rows(std::int64_t p) const {
    return std::min(s_.kernel.panel_rows, rows_ - p * s_.kernel.panel_rows);
  }
  [[nodiscard]] std::byte* queries(const Workspace& w, std::int64_t p) const {
    return w.queries + p * s_.kernel.query_bytes(s_.args.head_dim);
  }
  [[nodiscard]] float* output(const Workspace& w, std::int64_t p) const {
    return w.output + p * s_.kernel.output_rows(s_.args.head_dim) * s_.kernel.panel_rows;
  }

  /// Asks for panel p's rows, one panel past `rows`: a page apart, no hardware prefetcher sees them
  /// coming.
  template <typename Pointer>
  void fetch(Pointer* rows, std::int64_t p, DType dtype) const {
    if (p >= panels()) return;
    const std::int64_t bytes = s_.args.head_dim * static_cast<std::int64_t>(dtype_size(dtype));
    for (std::int64_t r = 0; r < panel_rows(p); ++r) {
      const auto* row = static_cast<const std::byte*>(rows[s_.kernel.panel_rows + r]);
      for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
    }
  }

  void add_keys(const Workspace& w, std::int64_t key, std::int64_t count) const {
    const FlashAttentionArgs& args = s_.args;
    const auto size = static_cast<std::int64_t>(dtype_size(args.dtype));
    s_.kernel.pack_keys(row_of(args.k, args.dtype, key, kv_head_), args.k.token_stride * size,
                        count, args.head_dim, w.keys);
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

  /// Keys that row `row` of the item attends to.
  [[nodiscard]] std::int64_t seen(std::int64_t row) const {
    return s_.args.position + first_token_ + row / s_.group + 1;
  }

  const Schedule& s_;
  std::int64_t split_;
  std::int64_t kv_head_;
  std::int64_t first_token_;
  std::int64_t end_token_;
  std::int64_t rows_;
};

void store_partial(const Schedule& s, const Workspace& w, float* partial) {
  std::copy_n(w.max, s.rows(), partial);
  std::copy_n(w.sum, s.rows(), partial + s.rows());
  std::copy_n(w.output, s.output_floats(), partial + 2 * s.rows());
}

/// Merges the `splits` partial results of an item, the first at `partial`, into `w`.
void merge_partials(const Schedule& s, const Workspace& w, const float* partial) {
  const std::int64_t width = s.kernel.panel_rows;
  const std::int64_t panel_floats = s.kernel.output_rows(s.args.head_dim) * width;
  std::fill_n(w.output, s.output_floats(), 0.0F);
  std::fill_n(w.max, s.rows(), AttentionState::kNoKeys);
  std::fill_n(w.sum, s.rows(), 0.0F);
  for (std::int64_t split = 0; split < s.splits; ++split, partial += partial_floats(s)) {
    for (std::int64_t row = 0; row < s.rows(); ++row) {
      AttentionState state{w.max[row], w.sum[row]};
      const auto [mine, other] = state.merge({partial[row], partial[s.rows() + row]});
      w.max[row] = state.max;
      w.sum[row] = state.sum;
      const std::int64_t at = row / width * panel_floats + row % width;
      const float* from = partial + 2 * s.rows();
      for (std::int64_t i = at; i < at + panel_floats - row % width; i += width) {
        w.output[i] = mine * w.output[i] + other * from[i];
      }
    }
  }
}

const BufferPool& process_pool() {
  static const BufferPool pool;
  return pool;
}

std::int64_t scratch_bytes(const Schedule& s) {
  Workspace w{};
  return s.workers * w.place(s, nullptr) + s.partials() * partial_floats(s) * 4;
}

/// True for what runs on one thread alone.
bool is_small(const Schedule& s) {
  return s.workers == 1 && s.splits == 1;
}

/// Items one thread takes from `next` on until there are none left.
void run_items(const Schedule& s, const Workspace& w, std::atomic<std::int64_t>& next,
               float* partials) {
  for (std::int64_t i = next++; i < s.items; i = next++) {
    const Item item(s, i);
    item.run(w);
    if (s.splits == 1) {
      item.finish(w);
    } else {
      store_partial(s, w, partials + i * partial_floats(s));
    }
  }
}

/// One call on all threads it is worth.
void run_alone(const Schedule& s, const BufferPool& scratch) {
  const Buffer memory = scratch.acquire(static_cast<std::size_t>(scratch_bytes(s)));
  const std::int64_t stride = Workspace{}.place(s, nullptr);
  auto* partials = reinterpret_cast<float*>(memory.data() + s.workers * stride);
  std::atomic<std::int64_t> next{0};
  parallel_for(s.workers, 1, [&](std::int64_t begin, std::int64_t end) {
    s.kernel.begin();
    for (std::int64_t worker = begin; worker < end; ++worker) {
      Workspace w{};
      w.place(s, memory.data() + worker * stride);
      run_items(s, w, next, partials);
    }
    s.kernel.end();
  });
  if (s.splits == 1) return;
  parallel_for(std::min(s.workers, s.items / s.splits), 1,
               [&](std::int64_t begin, std::int64_t end) {
                 const std::int64_t whole = s.items / s.splits;
                 const std::int64_t team = std::min(s.workers, whole);
                 for (std::int64_t worker = begin; worker < end; ++worker) {
                   Workspace w{};
                   w.place(s, memory.data() + worker * stride);
                   for (std::int64_t i = worker; i < whole; i += team) {
                     const Item item(s, i * s.splits);
                     item.collect_rows(w);
                     merge_partials(s, w, partials + i * s.splits * partial_floats(s));
                     item.finish(w);
                   }
                 }
               });
}

/// The small calls of `batch`, each on one thread: a thread takes the next that nobody has.
void run_small(const FlashKernel& kernel, std::span<const FlashAttentionArgs> batch,
               const BufferPool& scratch) {
  std::int64_t stride = 0;
  double operations = 0;
  std::int64_t count = 0;
  for (const FlashAttentionArgs& args : batch) {
    if (args.tokens == 0) continue;
    const Schedule s(kernel, args);
    if (!is_small(s)) continue;
    stride = std::max(stride, Workspace{}.place(s, nullptr));
    operations += s.operations;
    ++count;
  }
  if (count == 0) return;
  const std::int64_t team = std::min(count, team_for(operations));
  const Buffer memory = scratch.acquire(static_cast<std::size_t>(team * stride));
  std::atomic<std::size_t> next{0};
  parallel_for(team, 1, [&](std::int64_t begin, std::int64_t end) {
    kernel.begin();
    for (std::int64_t worker = begin; worker < end; ++worker) {
      for (std::size_t at = next++; at < batch.size(); at = next++) {
        if (batch[at].tokens == 0) continue;
        const Schedule s(kernel, batch[at]);
        if (!is_small(s)) continue;
        Workspace w{};
        w.place(s, memory.data() + worker * stride);
        std::atomic<std::int64_t> item{0};
        run_items(s, w, item, nullptr);
      }
    }
    kernel.end();
  });
}

}  // namespace

void flash_attention_on(const FlashKernel& kernel, std::span<const FlashAttentionArgs> batch,
                        const BufferPool& scratch) {
  for (const FlashAttentionArgs& args : batch) {
    check(args);
    require(args.dtype == batch[0].dtype, ErrorCode::kInvalidArgument,
            "flash attention of a batch that is {} and {}", dtype_name(batch[0].dtype),
            dtype_name(args.dtype));
  }
  run_small(kernel, batch, scratch);
  for (const FlashAttentionArgs& args : batch) {
    if (args.tokens == 0) continue;
    const Schedule s(kernel, args);
    if (!is_small(s)) run_alone(s, scratch);
  }
}

void flash_attention_on(const FlashKernel& kernel, const FlashAttentionArgs& args,
                        const BufferPool& scratch) {
  flash_attention_on(kernel, std::span(&args, 1), scratch);
}

const FlashKernel* flash_kernel(DType dtype, FlashPath path) {
  if (dtype == DType::kF32) {
    const bool wanted = path == FlashPath::kBest || path == FlashPath::kPortable;
    return wanted ? flash_kernel_portable(dtype) : nullptr;
  }
  switch (path) {
    case FlashPath::kAmx:
      return flash_kernel_amx();
    case FlashPath::kAvx512Bf16:
      return flash_kernel_avx512_bf16();
    case FlashPath::kPortable:
      return flash_kernel_portable(dtype);
    case FlashPath::kBest:
      break;
  }
  static const FlashKernel* const best = [] {
    if (const FlashKernel* amx = flash_kernel_amx()) return amx;
    if (const FlashKernel* avx512 = flash_kernel_avx512_bf16()) return avx512;
    return flash_kernel_portable(DType::kBF16);
  }();
  return best;
}

void flash_attention(std::span<const FlashAttentionArgs> batch, const BufferPool& scratch) {
  if (batch.empty()) return;
  flash_attention_on(*flash_kernel(batch[0].dtype, FlashPath::kBest), batch, scratch);
}

void flash_attention(const FlashAttentionArgs& args, const BufferPool& scratch) {
  flash_attention(std::span(&args, 1), scratch);
}

void flash_attention(const FlashAttentionArgs& args) {
  flash_attention(args, process_pool());
}

std::int64_t flash_attention_scratch_bytes(const FlashAttentionArgs& args) {
  check(args);
  if (args.tokens == 0) return 0;
  return scratch_bytes(Schedule(*flash_kernel(args.dtype, FlashPath::kBest), args));
}

}  // namespace airlock
