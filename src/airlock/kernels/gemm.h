// Matrix products by oneDNN, which stays behind this header: packed weights, and a bounded cache of
// its compiled primitives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"
#include "airlock/kernels/safe_terms.h"

namespace airlock {

/// A weight [out, in], in the blocked layout that oneDNN multiplies fastest.
struct PackedMatrix {
  Buffer data;
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t terms = 0;     ///< columns it was packed with: `in`, or more with zeros behind
  DType dtype = DType::kF32;  ///< kF32 or kBF16

  /// Bytes of the blocked layout: elements padded to whole blocks.
  [[nodiscard]] std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(data.size());
  }
};

/// A batch of products a [m, k] x b -> out [m, n]. Each operand is dense, batch-major ([batch,
/// rows, columns]) or row-major across the batch ([rows, batch, columns]: token-major heads).
struct BatchedProduct {
  std::int64_t batch = 1;
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  DType in = DType::kF32;    ///< of a and b: kF32 or kBF16
  DType out = DType::kF32;   ///< Gemm::can_write(in, out)
  bool transpose_b = false;  ///< b's rows are n long-wise: [n, k] instead of [k, n]
  bool a_token_major = false;
  bool b_token_major = false;
  bool out_token_major = false;
};

/// Not thread-safe. Steady state allocates nothing: primitives are kept per shape, the least
/// recently used making room, and working memory comes from the pool. Products that oneDNN is known
/// to get wrong (safe_terms.h) never reach it: their operands are copied into scratch with zeros
/// behind, which changes no sum.
class Gemm {
 public:
  /// A model needs about 14 primitives per prompt length; each holds some 100 KiB of machine code.
  static constexpr int kPrimitives = 128;

  explicit Gemm(BufferPool pool, int capacity = kPrimitives);
  /// With a rule of its own for which products are padded, and how far: tests declare others wrong.
  Gemm(BufferPool pool, int capacity, TermsRule rule);
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  ~Gemm();

  /// True if products of `in` can be written as `out` without a conversion after them.
  [[nodiscard]] static bool can_write(DType in, DType out) noexcept {
    return out == DType::kF32 || (in == DType::kBF16 && out == DType::kBF16);
  }

  /// Packs `weight`: [out, in] in f32, bf16 or f16, into `dtype` (rounded to nearest even).
  [[nodiscard]] PackedMatrix pack(ConstTensor weight, DType dtype);

  /// out [rows, w.out] = x [rows, w.in] w^T. x in w.dtype, out in `out_dtype`, for which can_write.
  void multiply(const void* x, std::int64_t rows, const PackedMatrix& w, DType out_dtype,
                void* out);
  void multiply(const BatchedProduct& product, const void* a, const void* b, void* out);

  /// Bytes that multiply takes from the pool to pad the product's operands; mostly none.
  [[nodiscard]] std::int64_t padding_bytes(const BatchedProduct& product) const;

  /// Drops all primitives; they are compiled again when they are needed.
  void forget() noexcept;
  /// Primitives kept now.
  [[nodiscard]] int cached() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// oneDNN compiles code for what it has not seen before, and does not survive being refused the
/// memory for it: throws Error(kResourceExhausted) if RLIMIT_AS does not leave it. A Gemm asks by
/// itself, who calls sgemm asks before.
void require_room_for_code();

/// out [m, n] f32 = a [m, k] f32 times b [n, k] f32 transposed; rows of `out` lie `out_stride`
/// elements apart. Nothing is kept between calls; on the calling thread alone within a parallel
/// loop. Returns a status, for such a loop must not be left by a throw. No f32 product is known to
/// come out wrong, so none is padded here.
[[nodiscard]] int sgemm(const float* a, std::int64_t m, const float* b, std::int64_t n,
                        std::int64_t k, float* out, std::int64_t out_stride) noexcept;
/// Throws Error(kResourceExhausted) unless `status` is one of success.
void require_sgemm(int status);

/// The instruction set oneDNN uses here, e.g. "avx512_core_amx": within core/isa.h's max_isa(),
/// which this applies, as does a Gemm. Throws as max_isa().
[[nodiscard]] std::string onednn_isa();
/// True if that set multiplies bf16. Throws as onednn_isa.
[[nodiscard]] bool onednn_has_bf16();

}  // namespace airlock
