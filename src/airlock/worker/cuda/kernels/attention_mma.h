// Flash attention on tensor cores: 64 query rows of a head per block, keys by tiles of 64, online
// softmax in f32, weights rounded to T before they meet V. For head_dim 64 and 128.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/worker/cuda/kernels/attention.h"
#include "airlock/worker/cuda/kernels/mma.h"

namespace airlock::cuda {

inline constexpr int kMmaThreads = 128;  ///< four warps of 16 rows
inline constexpr int kMmaRows = 64;
inline constexpr int kMmaKeys = 64;
inline constexpr int kMmaPad = 8;  ///< elements between shared rows: ldmatrix then hits every bank

/// True for what mma_attention_block is made for; fewer rows leave most of a tile empty.
AIRLOCK_HD bool mma_head_dim(int head_dim) {
  return head_dim == 64 || head_dim == 128;
}

/// x: tiles of tokens, y: query heads.
AIRLOCK_HD Grid mma_grid(const AttentionArgs& args) {
  Grid grid;
  grid.x = static_cast<int>(ceil_div(args.tokens, kMmaRows));
  grid.y = args.heads;
  grid.shared_bytes =
      std::size_t{2} * kMmaKeys * static_cast<std::size_t>(args.head_dim + kMmaPad) * 2;
  return grid;
}

/// What one thread holds. Of its warp's 16 rows it has row lane / 4 and the row eight below, of
/// eight columns two neighbours: elements 0 and 1 of a fragment are the first row's, 2 and 3 the
/// second's.
template <int kHeadDim>
struct MmaThread {
  std::uint32_t q[kHeadDim / 16][4];
  float scores[kMmaKeys / 8][4];
  float out[kHeadDim / 8][4];
  std::uint32_t loaded[4];   ///< of K or V: two fragments of two
  std::uint32_t weights[4];  ///< a fragment of P
  float max[2];
  float sum[2];
  float top[2];
};

template <typename T, typename Out, int kHeadDim>
class MmaAttention {
 public:
  /// shared: Grid::shared_bytes, 16-byte aligned.
  AIRLOCK_HD MmaAttention(const AttentionArgs& args, const BlockId& block, T* shared)
      : args_(args),
        head_(block.y),
        // The last tiles have most keys: they go first.
        first_token_((block.grid_x - 1 - block.x) * kMmaRows),
        shared_keys_(shared),
        shared_values_(shared + kMmaKeys * kStride) {
    const std::int64_t kv_head = head_ / (args.heads / args.kv_heads);
    keys_ = static_cast<const T*>(args.keys) + kv_head * args.head_stride;
    values_ = static_cast<const T*>(args.values) + kv_head * args.head_stride;
    const int last_token =
        first_token_ + kMmaRows < args.tokens ? first_token_ + kMmaRows : args.tokens;
    context_ = args.position + last_token;
  }

  AIRLOCK_HD void run() {
    load_tile(keys_, kHeadDim, 0, context_, shared_keys_);
    commit_copies();
    // Q passes through the room of V, which is empty yet.
    const T* q = static_cast<const T*>(args_.q) + static_cast<std::int64_t>(head_) * kHeadDim;
    load_tile(q, static_cast<std::int64_t>(args_.heads) * kHeadDim, first_token_, args_.tokens,
              shared_values_);
    commit_copies();
    wait_copies<0>();
    sync();
    take_queries();
    sync();
    const int tiles = static_cast<int>(ceil_div(context_, kMmaKeys));
    for (int tile = 0; tile < tiles; ++tile) {
      load_tile(values_, kHeadDim, tile * kMmaKeys, context_, shared_values_);
      commit_copies();
      wait_copies<1>();  // the keys have come, the values may be on their way
      sync();
      score();
      sync();  // nobody reads these keys any more
      if (tile + 1 < tiles) {
        load_tile(keys_, kHeadDim, (tile + 1) * kMmaKeys, context_, shared_keys_);
      }
      commit_copies();
      weigh(tile * kMmaKeys);
      wait_copies<1>();  // the values have come, the next keys may be on their way
      sync();
      add_values();
      sync();  // nobody reads these values any more
    }
    write();
  }

 private:
  static constexpr int kStride = kHeadDim + kMmaPad;

  /// Rows [first, first + 64) of `from`, zeros from row `end` on.
  AIRLOCK_HD void load_tile(const T* from, std::int64_t stride, int first, int end, T* to) {
    constexpr int kPieces = kHeadDim * 2 / 16;  // of a row
    each_thread(kMmaThreads, [&](int thread) {
      AIRLOCK_UNROLL
      for (int i = thread; i < kMmaKeys * kPieces; i += kMmaThreads) {
        const int row = i / kPieces;
        const int column = i % kPieces * 8;
        const bool zeros = first + row >= end;
        const T* source = from + (zeros ? 0 : (first + row) * stride) + column;
        copy16_async(to + row * kStride + column, source, zeros);
      }
    });
  }

  AIRLOCK_HD void take_queries() {
    AIRLOCK_UNROLL
    for (int k = 0; k < kHeadDim / 16; ++k) {
      warp_ldmatrix<kMmaThreads, false>([&](int t) { return threads_[t].q[k]; },
                                        [&](int t) {
                                          const int lane = t % kWarp;
                                          const int row = t / kWarp * 16 + lane % 16;
                                          return shared_values_ + row * kStride + k * 16 +
                                                 lane / 16 * 8;
                                        });
    }
    each_thread(kMmaThreads, [&](int t) {
      AIRLOCK_UNROLL
      for (int i = 0; i < kHeadDim / 8; ++i) {
        AIRLOCK_UNROLL
        for (int j = 0; j < 4; ++j) threads_[t].out[i][j] = 0;
      }
      AIRLOCK_UNROLL
      for (int r = 0; r < 2; ++r) {
        threads_[t].max[r] = kNoKeys;
        threads_[t].sum[r] = 0;
      }
    });
  }

  /// scores = Q K^T of the tile in shared memory.
  AIRLOCK_HD void score() {
    each_thread(kMmaThreads, [&](int t) {
      AIRLOCK_UNROLL
      for (int i = 0; i < kMmaKeys / 8; ++i) {
        AIRLOCK_UNROLL
        for (int j = 0; j < 4; ++j) threads_[t].scores[i][j] = 0;
      }
    });
    AIRLOCK_UNROLL
    for (int n = 0; n < kMmaKeys / 16; ++n) {
      AIRLOCK_UNROLL
      for (int k = 0; k < kHeadDim / 16; ++k) {
        // Keys n * 16 .. + 8 and + 8 .. + 16, each in two halves of 8 dimensions.
        warp_ldmatrix<kMmaThreads, false>([&](int t) { return threads_[t].loaded; },
                                          [&](int t) {
                                            const int lane = t % kWarp;
                                            const int key = n * 16 + lane % 8 + lane / 16 * 8;
                                            return shared_keys_ + key * kStride + k * 16 +
                                                   lane / 8 % 2 * 8;
                                          });
        AIRLOCK_UNROLL
        for (int half = 0; half < 2; ++half) {
          warp_mma<T, kMmaThreads>([&](int t) { return threads_[t].scores[n * 2 + half]; },
                                   [&](int t) { return threads_[t].q[k]; },
                                   [&](int t) { return threads_[t].loaded + half * 2; });
        }
      }
    }
  }

  /// Scores of keys from `first_key` on become weights; states and outputs follow.
  AIRLOCK_HD void weigh(int first_key) {
    const float scale = args_.scale * kLog2E;
    each_thread(kMmaThreads, [&](int t) {
      MmaThread<kHeadDim>& mine = threads_[t];
      mine.top[0] = mine.max[0];
      mine.top[1] = mine.max[1];
      AIRLOCK_UNROLL
      for (int i = 0; i < kMmaKeys / 8; ++i) {
        AIRLOCK_UNROLL
        for (int j = 0; j < 4; ++j) {
          const int key = first_key + i * 8 + t % 4 * 2 + j % 2;
          const bool seen = key <= args_.position + token_of(t, j / 2);
          mine.scores[i][j] = seen ? mine.scores[i][j] * scale : kNoKeys;
          mine.top[j / 2] = fmaxf(mine.top[j / 2], mine.scores[i][j]);
        }
      }
    });
    const auto larger = [](float a, float b) { return fmaxf(a, b); };
    fold_quads<kMmaThreads>([&](int t) -> float& { return threads_[t].top[0]; }, larger);
    fold_quads<kMmaThreads>([&](int t) -> float& { return threads_[t].top[1]; }, larger);
    each_thread(kMmaThreads, [&](int t) {
      MmaThread<kHeadDim>& mine = threads_[t];
      float factor[2];
      AIRLOCK_UNROLL
      for (int r = 0; r < 2; ++r) {
        factor[r] = exp2f(mine.max[r] - mine.top[r]);
        mine.max[r] = mine.top[r];
        mine.sum[r] *= factor[r];  // of this thread's columns; folded once, at the end
      }
      AIRLOCK_UNROLL
      for (int i = 0; i < kMmaKeys / 8; ++i) {
        AIRLOCK_UNROLL
        for (int j = 0; j < 4; ++j) {
          mine.scores[i][j] = exp2f(mine.scores[i][j] - mine.max[j / 2]);
          mine.sum[j / 2] += mine.scores[i][j];
        }
      }
      AIRLOCK_UNROLL
      for (int i = 0; i < kHeadDim / 8; ++i) {
        AIRLOCK_UNROLL
        for (int j = 0; j < 4; ++j) mine.out[i][j] *= factor[j / 2];
      }
    });
  }

  /// out += P V of the tile in shared memory.
  AIRLOCK_HD void add_values() {
    AIRLOCK_UNROLL
    for (int k = 0; k < kMmaKeys / 16; ++k) {
      // The fragments that scores came in are those that weights go in: two tiles of 8 keys.
      each_thread(kMmaThreads, [&](int t) {
        MmaThread<kHeadDim>& mine = threads_[t];
        AIRLOCK_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float* pair = mine.scores[k * 2 + i / 2] + i % 2 * 2;
          mine.weights[i] = pack<T>(pair[0], pair[1]);
        }
      });
      AIRLOCK_UNROLL
      for (int n = 0; n < kHeadDim / 16; ++n) {
        // Values are stored by key, the fragment wants them by dimension: transposed.
        warp_ldmatrix<kMmaThreads, true>([&](int t) { return threads_[t].loaded; },
                                         [&](int t) {
                                           const int lane = t % kWarp;
                                           const int key = k * 16 + lane % 16;
                                           return shared_values_ + key * kStride + n * 16 +
                                                  lane / 16 * 8;
                                         });
        AIRLOCK_UNROLL
        for (int half = 0; half < 2; ++half) {
          warp_mma<T, kMmaThreads>([&](int t) { return threads_[t].out[n * 2 + half]; },
                                   [&](int t) { return threads_[t].weights; },
                                   [&](int t) { return threads_[t].loaded + half * 2; });
        }
      }
    }
  }

  AIRLOCK_HD void write() {
    const auto add = [](float a, float b) { return a + b; };
    fold_quads<kMmaThreads>([&](int t) -> float& { return threads_[t].sum[0]; }, add);
    fold_quads<kMmaThreads>([&](int t) -> float& { return threads_[t].sum[1]; }, add);
    each_thread(kMmaThreads, [&](int t) {
      MmaThread<kHeadDim>& mine = threads_[t];
      AIRLOCK_UNROLL
      for (int r = 0; r < 2; ++r) {
        const int token = token_of(t, r);
        if (token >= args_.tokens) continue;
        Out* to = static_cast<Out*>(args_.out) +
                  (static_cast<std::int64_t>(token) * args_.heads + head_) * kHeadDim + t % 4 * 2;
        const float inverse = 1.0F / mine.sum[r];
        AIRLOCK_UNROLL
        for (int i = 0; i < kHeadDim / 8; ++i) {
          to[i * 8] = from_float<Out>(mine.out[i][r * 2] * inverse);
          to[i * 8 + 1] = from_float<Out>(mine.out[i][r * 2 + 1] * inverse);
        }
      }
    });
  }

  [[nodiscard]] AIRLOCK_HD int token_of(int thread, int row) const {
    return first_token_ + thread / kWarp * 16 + thread % kWarp / 4 + row * 8;
  }

  const AttentionArgs& args_;
  int head_;
  int first_token_;
  int context_;  ///< keys that the tile's last row sees
  const T* keys_;
  const T* values_;
  T* shared_keys_;
  T* shared_values_;
  PerThread<MmaThread<kHeadDim>, kMmaThreads> threads_;
};

}  // namespace airlock::cuda
