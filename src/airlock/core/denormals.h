// Denormal numbers cost a processor hundreds of cycles each; threads that compute take them for 0.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace airlock {

/// What this thread's floats do, as the processor keeps it: MXCSR, or FPCR on AArch64; 0 elsewhere.
[[nodiscard]] inline std::uint64_t float_mode() noexcept {
#if defined(__x86_64__)
  return _mm_getcsr();
#elif defined(__aarch64__)
  std::uint64_t mode = 0;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
#else
  return 0;
#endif
}

inline void set_float_mode(std::uint64_t mode) noexcept {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(mode));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(mode));
#else
  static_cast<void>(mode);
#endif
}

#if defined(__x86_64__)
/// Results that would be denormal become 0 (FTZ), operands that are count as 0 (DAZ).
inline constexpr std::uint64_t kFlushMode = 0x8000U | 0x0040U;
#elif defined(__aarch64__)
inline constexpr std::uint64_t kFlushMode = std::uint64_t{1} << 24;  // FZ, both
#else
inline constexpr std::uint64_t kFlushMode = 0;
#endif

/// Makes the calling thread take denormals for 0, and every thread that it starts from now on
/// (fenv(3): a new thread inherits the mode).
inline void flush_denormals() noexcept {
  const std::uint64_t mode = float_mode();
  if ((mode & kFlushMode) != kFlushMode) set_float_mode(mode | kFlushMode);
}

/// True if the calling thread does.
[[nodiscard]] inline bool flushes_denormals() noexcept {
  return (float_mode() & kFlushMode) == kFlushMode;
}

/// The same for a scope: kernels run on threads of a caller's, too, whose own arithmetic it is not
/// to change.
class FlushDenormals {
 public:
  FlushDenormals() noexcept : before_(float_mode()) { flush_denormals(); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
  ~FlushDenormals() {
    if ((before_ & kFlushMode) != kFlushMode) set_float_mode(before_);
  }

 private:
  const std::uint64_t before_;
};

/// The opposite: where bits are a contract between processes whose threads may differ.
class KeepDenormals {
 public:
  KeepDenormals() noexcept : before_(float_mode()) {
    if ((before_ & kFlushMode) != 0) set_float_mode(before_ & ~kFlushMode);
  }
  KeepDenormals(const KeepDenormals&) = delete;
  KeepDenormals& operator=(const KeepDenormals&) = delete;
  ~KeepDenormals() {
    if ((before_ & kFlushMode) != 0) set_float_mode(before_);
  }

 private:
  const std::uint64_t before_;
};

}  // namespace airlock
