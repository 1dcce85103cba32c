// Keeps Highway's kernels within max_isa(). Included by every file that dispatches to them.
#pragma once

namespace airlock {

/// Takes from Highway the instruction sets that max_isa() rules out; nothing if AIRLOCK_MAX_ISA
/// names none that exists, which isa() reports. Returns whether it took any.
bool cap_simd() noexcept;

/// Before main, and so before the first kernel chooses.
inline const bool kSimdCapped = cap_simd();

}  // namespace airlock
