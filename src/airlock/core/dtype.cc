#include "airlock/core/dtype.h"

#include <array>
#include <bit>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::array<std::size_t, 8> kSizes = {4, 2, 2, 1, 8, 4, 2, 2};
constexpr std::array<std::string_view, 8> kDTypeNames = {"f32", "bf16", "f16",    "int8",
                                                         "i64", "ring", "ring16", "int16"};
}  // namespace

std::size_t dtype_size(DType dtype) noexcept {
  return is_dtype(static_cast<unsigned>(dtype)) ? kSizes[static_cast<unsigned>(dtype)] : 0;
}

std::string_view dtype_name(DType dtype) noexcept {
  return is_dtype(static_cast<unsigned>(dtype)) ? kDTypeNames[static_cast<unsigned>(dtype)]
                                                : "unknown";
}

DType parse_dtype(std::string_view name) {
  for (unsigned i = 0; i < kDTypeNames.size(); ++i) {
    if (kDTypeNames[i] == name) return static_cast<DType>(i);
  }
  fail(ErrorCode::kInvalidArgument, "unknown dtype `{}`, expected one of f32, bf16, f16, int8",
       name);
}

bool is_dtype(unsigned value) noexcept {
  return value < kSizes.size();
}

BF16 BF16::from_float(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

float BF16::to_float() const noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

F16 F16::from_float(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return {static_cast<std::uint16_t>(sign | 0x7e00U)};
  if (magnitude >= 0x477ff000U) return {static_cast<std::uint16_t>(sign | 0x7c00U)};
  if (magnitude < 0x38800000U) {
    // Subnormal half: adding 0.5 aligns the mantissa so that the hardware rounds it for us.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return {
        static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U))};
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13))};
}

float F16::to_float() const noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  const std::uint32_t mantissa = bits & 0x3ffU;
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  const std::uint32_t biased = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (biased << 23) | (mantissa << 13));
}

}  // namespace airlock
