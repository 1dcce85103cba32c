// What both attention kernels take, and the plain one: any head_dim and dtype, few tokens or many.
// Its sibling for tensor cores is attention_mma.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

namespace airlock::cuda {

/// out[t][h] = sum over j <= position + t of softmax_j(scale * q[t][h] . k[j][g]) * v[j][g], where
/// g = h / (heads / kv_heads). q and out: [tokens, heads, head_dim], dense; keys and values:
/// [kv_heads, at least position + tokens, head_dim], heads `head_stride` elements apart.
struct AttentionArgs {
  const void* q = nullptr;
  const void* keys = nullptr;
  const void* values = nullptr;
  std::int64_t head_stride = 0;
  void* out = nullptr;
  int tokens = 0;
  int position = 0;
  const std::int64_t* position_at = nullptr;  ///< see at_position
  int heads = 0;
  int kv_heads = 0;  ///< divides heads
  int head_dim = 0;
  float scale = 0;
  /// The context in so many parts of `split_keys` keys, each a block's: for few tokens, which give
  /// too few blocks otherwise. With more than one, attention leaves its parts in `partial`
  /// ([splits, tokens * heads, head_dim] f32, not divided by the sums) and `states` ([splits,
  /// tokens * heads]), and merge_block makes `out` of them.
  int splits = 1;
  int split_keys = 0;
  float* partial = nullptr;
  struct AttentionPart* states = nullptr;
};

/// State of a part, as math/attention_state.h: scores are times log2(e), weights 2^(s - max).
struct AttentionPart {
  float max;
  float sum;
};

inline constexpr float kNoKeys = -3.0e38F;  ///< finite, so that max - max is 0
inline constexpr float kLog2E = 1.44269504088896340736F;

inline constexpr int kPlainThreads = 128;
inline constexpr int kPlainRows = 8;  ///< (token, head) pairs of a block, of one KV head
inline constexpr int kPlainKeys = 32;

/// Where the plain kernel's arrays lie in shared memory, in floats. Rows of keys are one longer, so
/// that threads that read a column of them hit different banks.
struct PlainShared {
  int q, keys, acc, scores, factor, max, sum, total;

  AIRLOCK_HD explicit PlainShared(int head_dim) {
    q = 0;
    keys = q + kPlainRows * head_dim;
    acc = keys + kPlainKeys * (head_dim + 1);
    scores = acc + kPlainRows * head_dim;
    factor = scores + kPlainRows * kPlainKeys;
    max = factor + kPlainRows;
    sum = max + kPlainRows;
    total = sum + kPlainRows;
  }
};

/// x: pairs of a KV head, y: KV heads, z: parts of the context.
AIRLOCK_HD Grid plain_grid(const AttentionArgs& args) {
  const std::int64_t group = args.heads / args.kv_heads;
  Grid grid;
  grid.x = static_cast<int>(ceil_div(args.tokens * group, kPlainRows));
  grid.y = args.kv_heads;
  grid.z = args.splits;
  grid.shared_bytes = static_cast<std::size_t>(PlainShared(args.head_dim).total) * sizeof(float);
  return grid;
}

/// One (token, query head) of a block.
struct PlainRow {
  bool valid = false;
  int token = 0;
  int head = 0;
  int last_key = -1;  ///< the last it sees

  AIRLOCK_HD PlainRow(const AttentionArgs& args, const BlockId& block, int row) {
    const int group = args.heads / args.kv_heads;
    const std::int64_t pair = static_cast<std::int64_t>(block.x) * kPlainRows + row;
    token = static_cast<int>(pair / group);
    head = block.y * group + static_cast<int>(pair % group);
    valid = token < args.tokens;
    if (valid) last_key = args.position + token;
  }
  [[nodiscard]] AIRLOCK_HD std::int64_t index(const AttentionArgs& args) const {
    return static_cast<std::int64_t>(token) * args.heads + head;
  }
};

/// Reads rows [first, last) of a head's keys or values into shared rows `stride` floats apart; rows
/// past `last` become zeros.
template <typename T>
AIRLOCK_HD void load_plain_tile(const T* head, int head_dim, int first, int last, float* to,
                                int stride, int thread) {
  for (int i = thread; i < kPlainKeys * head_dim; i += kPlainThreads) {
    const int j = i / head_dim;
    const int d = i % head_dim;
    to[j * stride + d] = first + j < last
                             ? to_float(head[static_cast<std::int64_t>(first + j) * head_dim + d])
                             : 0.0F;
  }
}

/// Takes a tile's scores of one row into its state; scores become weights.
AIRLOCK_HD void update_plain_row(float* scores, float& max, float& sum, float& factor) {
  float top = max;
  for (int j = 0; j < kPlainKeys; ++j) top = fmaxf(top, scores[j]);
  factor = exp2f(max - top);
  float total = sum * factor;
  for (int j = 0; j < kPlainKeys; ++j) {
    scores[j] = scores[j] == kNoKeys ? 0.0F : exp2f(scores[j] - top);
    total += scores[j];
  }
  max = top;
  sum = total;
}

/// Writes a block's rows: finished, or as one part of several.
template <typename Out>
AIRLOCK_HD void finish_plain(const AttentionArgs& args, const BlockId& block, const PlainShared& at,
                             const float* shared) {
  each_thread(kPlainThreads, [&](int thread) {
    for (int i = thread; i < kPlainRows * args.head_dim; i += kPlainThreads) {
      const int r = i / args.head_dim;
      const int d = i % args.head_dim;
      const PlainRow row(args, block, r);
      if (!row.valid) continue;
      const float value = shared[at.acc + i];
      if (args.splits == 1) {
        static_cast<Out*>(args.out)[row.index(args) * args.head_dim + d] =
            from_float<Out>(value / shared[at.sum + r]);
        continue;
      }
      const std::int64_t part =
          static_cast<std::int64_t>(block.z) * args.tokens * args.heads + row.index(args);
      args.partial[part * args.head_dim + d] = value;
      if (d == 0) args.states[part] = {shared[at.max + r], shared[at.sum + r]};
    }
  });
}

/// q, keys and values in T, out in Out. shared: [PlainShared::total].
template <typename T, typename Out>
AIRLOCK_HD void plain_attention_block(const AttentionArgs& args, const BlockId& block,
                                      float* shared) {
  const int head_dim = args.head_dim;
  const int stride = head_dim + 1;
  const PlainShared at(head_dim);
  const T* keys = static_cast<const T*>(args.keys) + block.y * args.head_stride;
  const T* values = static_cast<const T*>(args.values) + block.y * args.head_stride;

  phase(kPlainThreads, [&](int thread) {
    for (int i = thread; i < kPlainRows * head_dim; i += kPlainThreads) {
      const PlainRow row(args, block, i / head_dim);
      const T* q = static_cast<const T*>(args.q) + row.index(args) * head_dim;
      shared[at.q + i] = row.valid ? to_float(q[i % head_dim]) * (args.scale * kLog2E) : 0.0F;
      shared[at.acc + i] = 0;
    }
    if (thread < kPlainRows) {
      shared[at.max + thread] = kNoKeys;
      shared[at.sum + thread] = 0;
    }
  });

  // Tokens grow with rows: the last valid row sees most.
  int end = 0;
  for (int r = 0; r < kPlainRows; ++r) {
    const PlainRow row(args, block, r);
    if (row.valid) end = row.last_key + 1;
  }
  const int begin = args.splits == 1 ? 0 : block.z * args.split_keys;
  if (args.splits > 1 && begin + args.split_keys < end) end = begin + args.split_keys;

  for (int first = begin; first < end; first += kPlainKeys) {
    phase(kPlainThreads, [&](int thread) {
      load_plain_tile(keys, head_dim, first, end, shared + at.keys, stride, thread);
    });
    phase(kPlainThreads, [&](int thread) {
      for (int i = thread; i < kPlainRows * kPlainKeys; i += kPlainThreads) {
        const int r = i / kPlainKeys;
        const int j = i % kPlainKeys;
        float score = kNoKeys;
        if (first + j < end && first + j <= PlainRow(args, block, r).last_key) {
          score = 0;
          const float* q = shared + at.q + r * head_dim;
          const float* key = shared + at.keys + j * stride;
          for (int d = 0; d < head_dim; ++d) score += q[d] * key[d];
        }
        shared[at.scores + i] = score;
      }
    });
    phase(kPlainThreads, [&](int thread) {
      load_plain_tile(values, head_dim, first, end, shared + at.keys, stride, thread);
      if (thread < kPlainRows) {
        update_plain_row(shared + at.scores + thread * kPlainKeys, shared[at.max + thread],
                         shared[at.sum + thread], shared[at.factor + thread]);
      }
    });
    phase(kPlainThreads, [&](int thread) {
      for (int i = thread; i < kPlainRows * head_dim; i += kPlainThreads) {
        const int r = i / head_dim;
        const int d = i % head_dim;
        float sum = shared[at.acc + i] * shared[at.factor + r];
        const float* weights = shared + at.scores + r * kPlainKeys;
        const float* value = shared + at.keys + d;
        for (int j = 0; j < kPlainKeys; ++j) sum += weights[j] * value[j * stride];
        shared[at.acc + i] = sum;
      }
    });
  }
  finish_plain<Out>(args, block, at, shared);
}

/// Makes rows of `out` of their parts. Grid: x = tokens * heads; kPlainThreads threads.
template <typename Out>
AIRLOCK_HD void merge_block(const AttentionArgs& args, const BlockId& block) {
  const std::int64_t rows = static_cast<std::int64_t>(args.tokens) * args.heads;
  const std::int64_t row = block.x;
  each_thread(kPlainThreads, [&](int thread) {
    float top = kNoKeys;
    for (int s = 0; s < args.splits; ++s) top = fmaxf(top, args.states[s * rows + row].max);
    float sum = 0;
    for (int s = 0; s < args.splits; ++s) {
      const AttentionPart part = args.states[s * rows + row];
      sum += part.sum * exp2f(part.max - top);
    }
    for (int d = thread; d < args.head_dim; d += kPlainThreads) {
      float value = 0;
      for (int s = 0; s < args.splits; ++s) {
        const float weight = exp2f(args.states[s * rows + row].max - top);
        value += weight * args.partial[(s * rows + row) * args.head_dim + d];
      }
      static_cast<Out*>(args.out)[row * args.head_dim + d] = from_float<Out>(value / sum);
    }
  });
}

/// Parts to split `context` keys into so that a GPU of `processors` is busy with few tokens, each
/// at least kLeastSplitKeys long, so that a part is worth its merge. The context may be longer than
/// what the tokens see: parts past that are empty.
inline constexpr int kLeastSplitKeys = 256;
AIRLOCK_HD void choose_splits(AttentionArgs& args, int processors, int context) {
  const Grid grid = plain_grid(args);
  const std::int64_t blocks = static_cast<std::int64_t>(grid.x) * grid.y;
  const std::int64_t wanted = ceil_div(2 * static_cast<std::int64_t>(processors), blocks);
  const std::int64_t most = ceil_div(context, kLeastSplitKeys);
  const std::int64_t splits = wanted < most ? wanted : most;
  args.split_keys = static_cast<int>(ceil_div(ceil_div(context, splits), kPlainKeys) * kPlainKeys);
  args.splits = static_cast<int>(ceil_div(context, args.split_keys));
}

}  // namespace airlock::cuda
