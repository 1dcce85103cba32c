// Which instructions this processor has and how far Airlock may use them: the one place that asks.
// oneDNN, Highway and our own kernels follow it.
#pragma once

#include <string_view>

namespace airlock {

/// Sets of instructions that products and kernels are written for, each with those before it.
enum class Isa {
  kBase,        ///< what the program was compiled for, at best
  kAvx2,        ///< AVX2 and FMA
  kAvx512,      ///< AVX-512 F, BW, CD, DQ, VL
  kAvx512Bf16,  ///< AVX512_BF16: the first that multiplies bf16
  kAmx,         ///< AMX_TILE and AMX_BF16, where the system lets this process use them
};

/// "base", "avx2", "avx512", "avx512_bf16", "amx".
[[nodiscard]] std::string_view isa_name(Isa isa) noexcept;

/// The set that AIRLOCK_MAX_ISA names by `name`: any but "base"; "" is the highest. Throws
/// Error(kInvalidArgument).
[[nodiscard]] Isa parse_max_isa(std::string_view name);

/// The set that AIRLOCK_MAX_ISA names, the highest if unset. Read once, before main, where
/// math/simd_cap.h asks. Throws as parse_max_isa does, every time. Thread-safe.
[[nodiscard]] Isa max_isa();

/// What Airlock computes with: the highest set that the processor has and max_isa() allows.
/// Throws as max_isa. Thread-safe.
[[nodiscard]] Isa isa();

/// True if products of 8-bit integers may use AVX512_VNNI: within isa(), of which it is no part.
/// Throws as max_isa. Thread-safe.
[[nodiscard]] bool has_vnni();
/// True if tiles of 8-bit integers may be multiplied: AMX_INT8, within isa(). Throws as max_isa.
/// Thread-safe.
[[nodiscard]] bool has_amx_int8();

}  // namespace airlock
