// Matrix products by cuBLASLt, which stays behind this header: row-major operands, and a bounded
// cache of what its heuristics chose per shape.
#pragma once

#include <cstdint>
#include <memory>

#include <cuda_runtime_api.h>

#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/memory_budget.h"

namespace airlock::cuda {

/// out [m, n] = a [m, k] b, where b is [k, n], or [n, k] if transpose_b; `batch` times. All are
/// row-major: rows start `stride` elements apart, the matrices of a batch `batch_stride`.
struct Product {
  struct Operand {
    std::int64_t stride = 0;
    std::int64_t batch_stride = 0;
    friend bool operator==(const Operand&, const Operand&) = default;
  };

  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t batch = 1;
  DType in = DType::kF32;   ///< of a and b: f32, bf16, f16 or int8
  DType out = DType::kF32;  ///< f32, or as `in`; products of int8 leave as i32 whatever it says
  bool transpose_b = false;
  Operand a, b, c;

  friend bool operator==(const Product&, const Product&) = default;

  /// x [rows, in] w^T for dense x and w [columns, in].
  static Product linear(std::int64_t rows, std::int64_t in, std::int64_t columns, DType dtype,
                        DType out);
};

/// Sums are f32, of int8 i32 (transpose_b, and shapes as kInt8Columns and kInt8Tokens say). Not
/// thread-safe. Steady state allocates nothing: choices are kept per product and
/// alignment, the least recently used making room, and the workspace is one block.
class Gemm {
 public:
  static constexpr int kChoices = 256;
  static constexpr int kMostRank = 15;

  /// Takes MemoryNeeds::kWorkspace from `budget`. `tf32`: f32 operands are rounded to TF32. `rank`:
  /// which of the heuristics' proposals to take, from 0 to kMostRank, or the last there is; others
  /// than the first are for benchmarks that ask whether it was the best.
  Gemm(MemoryBudget& budget, bool tf32, int rank = 0);
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  ~Gemm();

  /// True if products of `in` can be written as `out` without a conversion after them.
  [[nodiscard]] static bool can_write(DType in, DType out) noexcept {
    return in != DType::kI8 && (out == DType::kF32 || out == in);
  }

  /// Enqueues the product. Throws Error(kInternal) if cuBLASLt has no kernel for it.
  void multiply(const Product& product, const void* a, const void* b, void* out,
                cudaStream_t stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace airlock::cuda
