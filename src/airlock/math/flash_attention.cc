#include "airlock/math/flash_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/flash_kernel.h"
#include "airlock/math/flash_schedule.h"

namespace airlock {
namespace {

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

const BufferPool& process_pool() {
  static const BufferPool pool;
  return pool;
}

/// True for what runs on one thread alone.
bool is_small(const FlashSchedule& s) {
  return s.workers == 1 && s.splits == 1;
}

/// Items one thread takes from `next` on until there are none left.
void run_items(const FlashSchedule& s, const FlashWorkspace& w, std::atomic<std::int64_t>& next,
               float* partials) {
  for (std::int64_t i = next++; i < s.items; i = next++) {
    const FlashItem item(s, i);
    item.run(w);
    if (s.splits == 1) {
      item.finish(w);
    } else {
      item.store(w, partials + i * s.partial_floats());
    }
  }
}

/// One call on all threads it is worth.
void run_alone(const FlashSchedule& s, const BufferPool& scratch) {
  const Buffer memory = scratch.acquire(static_cast<std::size_t>(s.scratch_bytes()));
  const std::int64_t stride = FlashWorkspace{}.place(s, nullptr);
  auto* partials = reinterpret_cast<float*>(memory.data() + s.workers * stride);
  std::atomic<std::int64_t> next{0};
  parallel_for(s.workers, 1, [&](std::int64_t begin, std::int64_t end) {
    s.kernel.begin();
    for (std::int64_t worker = begin; worker < end; ++worker) {
      FlashWorkspace w{};
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
                   FlashWorkspace w{};
                   w.place(s, memory.data() + worker * stride);
                   for (std::int64_t i = worker; i < whole; i += team) {
                     const FlashItem item(s, i * s.splits);
                     item.merge(w, partials + i * s.splits * s.partial_floats());
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
    const FlashSchedule s(kernel, args);
    if (!is_small(s)) continue;
    stride = std::max(stride, FlashWorkspace{}.place(s, nullptr));
    operations += s.operations;
    ++count;
  }
  if (count == 0) return;
  const std::int64_t team = std::min(count, flash_team(operations));
  const Buffer memory = scratch.acquire(static_cast<std::size_t>(team * stride));
  std::atomic<std::size_t> next{0};
  parallel_for(team, 1, [&](std::int64_t begin, std::int64_t end) {
    kernel.begin();
    for (std::int64_t worker = begin; worker < end; ++worker) {
      for (std::size_t at = next++; at < batch.size(); at = next++) {
        if (batch[at].tokens == 0) continue;
        const FlashSchedule s(kernel, batch[at]);
        if (!is_small(s)) continue;
        FlashWorkspace w{};
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
    const FlashSchedule s(kernel, args);
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
  return FlashSchedule(*flash_kernel(args.dtype, FlashPath::kBest), args).scratch_bytes();
}

}  // namespace airlock
