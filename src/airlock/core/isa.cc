#include "airlock/core/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <string>

#include "airlock/core/error.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace airlock {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"base", "avx2", "avx512", "avx512_bf16", "amx"};

#if defined(__x86_64__) && defined(__linux__)

/// Tiles are 8 KiB of state that Linux saves only for processes that asked.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// Bits of CPUID leaf 7's EDX (Intel SDM; Clang 14's builtin knows no such names).
constexpr unsigned kAmxBf16 = 1U << 22;
constexpr unsigned kAmxTile = 1U << 24;
constexpr unsigned kAmxInt8 = 1U << 25;

/// True if the processor has all `features`, bits as above.
bool has_features(unsigned features) {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & features) == features;
}

/// The processor's best set, of those up to `most`: tiles that may not be used are not asked for.
Isa detect(Isa most) {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (most < Isa::kAvx2 || !avx2) return Isa::kBase;
  if (most < Isa::kAvx512 || !avx512) return Isa::kAvx2;
  if (most < Isa::kAvx512Bf16 || !__builtin_cpu_supports("avx512bf16")) return Isa::kAvx512;
  const bool tiles = has_features(kAmxBf16 | kAmxTile);
  return most == Isa::kAmx && tiles && may_use_tiles() ? Isa::kAmx : Isa::kAvx512Bf16;
}

#else

Isa detect(Isa /*most*/) {
  return Isa::kBase;
}

#endif

}  // namespace

std::string_view isa_name(Isa isa) noexcept {
  return kNames[static_cast<std::size_t>(isa)];
}

Isa parse_max_isa(std::string_view name) {
  if (name.empty()) return Isa::kAmx;
  const auto found = std::find(kNames.begin() + 1, kNames.end(), name);
  require(found != kNames.end(), ErrorCode::kInvalidArgument,
          "AIRLOCK_MAX_ISA is {}, expected avx2, avx512, avx512_bf16 or amx{}", name,
          suggest(name, std::span(kNames).subspan(1)));
  return static_cast<Isa>(found - kNames.begin());
}

Isa max_isa() {
  static const std::string name = [] {
    const char* given = std::getenv("AIRLOCK_MAX_ISA");
    return std::string(given != nullptr ? given : "");
  }();
  static const Isa most = parse_max_isa(name);  // tried again at the next call if it throws
  return most;
}

bool has_vnni() {
#if defined(__x86_64__)
  return isa() >= Isa::kAvx512 && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool has_amx_int8() {
#if defined(__x86_64__) && defined(__linux__)
  return isa() >= Isa::kAmx && has_features(kAmxInt8);
#else
  return false;
#endif
}

Isa isa() {
  static const Isa found = detect(max_isa());
  return found;
}

}  // namespace airlock
