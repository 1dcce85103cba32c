// The small kernels of the blocks: SiLU(gate) * up, RoPE, and the moves of heads into the KV cache.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

namespace airlock::cuda {

/// gate_up: [rows, 2 * ffn], gate left of up -> out: [rows, ffn]. Grid: grid_over(rows, ffn).
struct SiluArgs {
  const void* gate_up = nullptr;
  void* out = nullptr;
  std::int64_t rows = 0;
  std::int64_t ffn = 0;
};

template <typename T>
AIRLOCK_HD void silu_mul_block(const SiluArgs& args, const BlockId& block) {
  const T* gate_up = static_cast<const T*>(args.gate_up);
  T* out = static_cast<T*>(args.out);
  for_each_element(block, args.rows, args.ffn, [&](std::int64_t row, std::int64_t column) {
    const T* gate = gate_up + row * 2 * args.ffn + column;
    const float g = to_float(gate[0]);
    const float up = to_float(gate[args.ffn]);
    out[row * args.ffn + column] = from_float<T>(g / (1.0F + expf(-g)) * up);
  });
}

/// Cosines and sines of `rows` positions from `position` on, [rows, half] f32 each, computed in
/// f64 as the CPU's table is. Grid: grid_over(rows, half).
struct AnglesArgs {
  const double* frequencies = nullptr;  ///< [half]
  float* cosine = nullptr;
  float* sine = nullptr;
  std::int64_t position = 0;
  std::int64_t rows = 0;
  std::int64_t half = 0;
  const std::int64_t* position_at = nullptr;  ///< see at_position
};

AIRLOCK_HD void rope_angles_block(const AnglesArgs& args, const BlockId& block) {
  for_each_element(block, args.rows, args.half, [&](std::int64_t row, std::int64_t i) {
    const double angle = static_cast<double>(args.position + row) * args.frequencies[i];
    args.cosine[row * args.half + i] = static_cast<float>(cos(angle));
    args.sine[row * args.half + i] = static_cast<float>(sin(angle));
  });
}

/// A layer's rows in a session's KV cache: [kv_heads, capacity, head_dim], K and V apart.
struct CacheView {
  void* keys = nullptr;
  void* values = nullptr;
  std::int64_t head_stride = 0;  ///< elements: capacity * head_dim
};

/// From qkv [rows, (heads + 2 * kv_heads) * head_dim] f32: q rotated to out [rows, heads *
/// head_dim], k rotated and v as it is to rows [position, position + rows) of the cache.
struct RopeArgs {
  const float* qkv = nullptr;
  const float* cosine = nullptr;  ///< [rows, head_dim / 2]
  const float* sine = nullptr;
  void* q = nullptr;
  CacheView cache;
  std::int64_t position = 0;
  std::int64_t rows = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  const std::int64_t* position_at = nullptr;  ///< see at_position
};

/// A pair of elements each.
AIRLOCK_HD Grid rope_grid(const RopeArgs& args) {
  const std::int64_t heads = args.heads + 2 * static_cast<std::int64_t>(args.kv_heads);
  return grid_over(args.rows, heads * (args.head_dim / 2));
}

template <typename T>
AIRLOCK_HD void rope_block(const RopeArgs& args, const BlockId& block) {
  const int half = args.head_dim / 2;
  const int all = args.heads + 2 * args.kv_heads;
  for_each_element(block, args.rows, static_cast<std::int64_t>(all) * half,
                   [&](std::int64_t row, std::int64_t pair) {
                     const int head = static_cast<int>(pair) / half;
                     const int i = static_cast<int>(pair) % half;
                     const float* from = args.qkv + (row * all + head) * args.head_dim + i;
                     float low = from[0];
                     float high = from[half];
                     const int kv = head - args.heads;
                     if (kv < args.kv_heads) {  // q or k: v is not rotated
                       const float c = args.cosine[row * half + i];
                       const float s = args.sine[row * half + i];
                       const float rotated = low * c - high * s;
                       high = high * c + low * s;
                       low = rotated;
                     }
                     T* to = nullptr;
                     if (kv < 0) {
                       to = static_cast<T*>(args.q) + (row * args.heads + head) * args.head_dim;
                     } else {
                       const bool key = kv < args.kv_heads;
                       const std::int64_t kv_head = key ? kv : kv - args.kv_heads;
                       to = static_cast<T*>(key ? args.cache.keys : args.cache.values) +
                            kv_head * args.cache.head_stride +
                            (args.position + row) * args.head_dim;
                     }
                     to[i] = from_float<T>(low);
                     to[i + half] = from_float<T>(high);
                   });
}

/// k and v [rows, kv_heads * head_dim] to rows [position, position + rows) of the cache.
struct AppendArgs {
  const void* k = nullptr;
  const void* v = nullptr;
  CacheView cache;
  std::int64_t position = 0;
  std::int64_t rows = 0;
  int kv_heads = 0;
  int head_dim = 0;
  const std::int64_t* position_at = nullptr;  ///< see at_position
};

AIRLOCK_HD Grid append_grid(const AppendArgs& args) {
  return grid_over(args.rows, 2 * static_cast<std::int64_t>(args.kv_heads) * args.head_dim);
}

template <typename T>
AIRLOCK_HD void append_block(const AppendArgs& args, const BlockId& block) {
  const std::int64_t width = static_cast<std::int64_t>(args.kv_heads) * args.head_dim;
  for_each_element(block, args.rows, 2 * width, [&](std::int64_t row, std::int64_t column) {
    const bool key = column < width;
    const int at = static_cast<int>(key ? column : column - width);
    const std::int64_t head = at / args.head_dim;
    const std::int64_t to =
        head * args.cache.head_stride + (args.position + row) * args.head_dim + at % args.head_dim;
    static_cast<T*>(key ? args.cache.keys : args.cache.values)[to] =
        static_cast<const T*>(key ? args.k : args.v)[row * width + at];
  });
}

}  // namespace airlock::cuda
