// Element types of tensors, in files, in memory and on the wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace airlock {

/// Element type. The values travel on the wire: append only, never renumber.
enum class DType : std::uint8_t {
  kF32 = 0,     ///< IEEE 754 binary32
  kBF16 = 1,    ///< bfloat16: the upper half of a binary32
  kF16 = 2,     ///< IEEE 754 binary16
  kI8 = 3,      ///< signed bytes; on the wire each row carries one f32 scale (see TensorSpec)
  kI64 = 4,     ///< two's complement 64-bit, for token ids and seeds
  kRing = 5,    ///< an element of the prime field of the ring plans (math/field.h) in 32 bits
  kRing16 = 6,  ///< its upper 16 bits, rounded
  kI16 = 7,     ///< two's complement 16-bit: unmasked rows of the ring plans
};

/// Bytes of one element: 4, 2, 2, 1, 8, 4, 2, 2.
std::size_t dtype_size(DType dtype) noexcept;

/// "f32", "bf16", "f16", "int8", "i64", "ring", "ring16", "int16".
std::string_view dtype_name(DType dtype) noexcept;

/// The dtype of that name. Throws Error(kInvalidArgument) that lists the names.
DType parse_dtype(std::string_view name);

/// True if `value` is one of DType's values (to check a byte that a peer sent).
bool is_dtype(unsigned value) noexcept;

/// True for what stands for real numbers, to be converted on the way: f32, bf16, f16, int8.
[[nodiscard]] constexpr bool is_real(DType dtype) noexcept {
  return dtype <= DType::kI8;
}

/// One bfloat16 as its bits. Conversion rounds to nearest, ties to even; NaN stays NaN.
struct BF16 {
  std::uint16_t bits = 0;
  static BF16 from_float(float value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
};

/// One binary16 as its bits. Conversion rounds to nearest, ties to even; overflow gives infinity.
struct F16 {
  std::uint16_t bits = 0;
  static F16 from_float(float value) noexcept;
  [[nodiscard]] float to_float() const noexcept;
};

}  // namespace airlock
