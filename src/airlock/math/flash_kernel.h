// What flash_schedule.cc (who computes what) asks of a kernel (how one tile is computed): three
// kernels share one schedule. Internal to math/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "airlock/core/dtype.h"

namespace airlock {

/// A panel: up to panel_rows query rows against one block of keys. Query rows lie across SIMD
/// lanes, keys and head_dim run down memory, so that scores arrive transposed ([keys, rows]) and
/// maximum, exponential and sum of a row need no step across lanes, and K and V enter as they lie
/// in the cache, element by element.
struct FlashPanel {
  const void* queries;         ///< as pack_queries left them
  const void* keys;            ///< as pack_keys left them
  const void* values;          ///< as pack_values left them
  std::int64_t head_dim;       ///< elements of a row
  std::int64_t rows;           ///< rows in use, at most panel_rows
  std::int64_t key_count;      ///< keys that the panel's last row attends to in this block, > 0
  const std::int32_t* limits;  ///< keys each of panel_rows rows attends to, or null for all
  float scale;                 ///< score scale times log2(e), > 0
  float* output;               ///< [padded head_dim, panel_rows], unnormalised
  float* max;                  ///< [panel_rows], as AttentionState::max
  float* sum;                  ///< [panel_rows], as AttentionState::sum
  void* scratch;               ///< scratch_bytes, undefined before and after
};

/// One way to compute panels. Pack functions take `count` rows of `head_dim` elements of the input
/// dtype; they fill what lies past them with zeros. All memory is 64-byte aligned.
struct FlashKernel {
  const char* name;
  std::int64_t panel_rows;
  std::int64_t key_block;  ///< keys in a block
  /// Rows that share one packing of K and V: enough that packing vanishes next to the products, few
  /// enough that queries and outputs stay in the second-level cache.
  std::int64_t item_rows;

  /// Sizes of a packed panel of queries, packed blocks and scratch, in bytes, and the rows of
  /// FlashPanel::output.
  std::int64_t (*query_bytes)(std::int64_t head_dim);
  std::int64_t (*key_bytes)(std::int64_t head_dim);
  std::int64_t (*value_bytes)(std::int64_t head_dim);
  std::int64_t (*scratch_bytes)(std::int64_t head_dim);
  std::int64_t (*output_rows)(std::int64_t head_dim);

  /// Before and after a thread's first and last panel.
  void (*begin)();
  void (*end)();
  void (*pack_queries)(const void* const* rows, std::int64_t count, std::int64_t head_dim,
                       void* out);
  void (*pack_keys)(const void* rows, std::int64_t stride_bytes, std::int64_t count,
                    std::int64_t head_dim, void* out);
  void (*pack_values)(const void* rows, std::int64_t stride_bytes, std::int64_t count,
                      std::int64_t head_dim, void* out);
  /// Adds one block of keys to panels that share it, and the scratch.
  void (*run)(const FlashPanel* panels, std::int64_t count);
  /// rows[r][d] = output[d][r] * factors[r] for r < count.
  void (*finish)(const float* output, const float* factors, std::int64_t count,
                 std::int64_t head_dim, DType out_dtype, void* const* rows);
};

/// Kernels for a dtype of q, k and v; null where isa() lacks the instructions.
const FlashKernel* flash_kernel_portable(DType dtype);
const FlashKernel* flash_kernel_avx512_bf16();
const FlashKernel* flash_kernel_amx();

/// Which kernel bf16 inputs run on; tests force each in turn.
enum class FlashPath { kBest, kPortable, kAvx512Bf16, kAmx };
/// The kernel of that path for `dtype`, or null where isa() lacks its instructions.
const FlashKernel* flash_kernel(DType dtype, FlashPath path);

struct FlashAttentionArgs;
class BufferPool;
/// flash_attention on a given kernel.
void flash_attention_on(const FlashKernel& kernel, std::span<const FlashAttentionArgs> batch,
                        const BufferPool& scratch);
void flash_attention_on(const FlashKernel& kernel, const FlashAttentionArgs& args,
                        const BufferPool& scratch);

}  // namespace airlock
