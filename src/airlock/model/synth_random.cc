#include "airlock/model/synth_random.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace airlock {
namespace {

constexpr std::size_t kTableSize = 65536;
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;

std::uint64_t mix(std::uint64_t z) noexcept {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

template <typename T>
void fill_as(const T* table, std::uint64_t key, std::uint64_t block, std::span<std::byte> out) {
  const std::size_t count = out.size() / sizeof(T);
  T values[4];
  for (std::size_t i = 0; i < count; i += 4, ++block) {
    const std::uint64_t bits = mix(key + (block + 1) * kGolden);
    for (unsigned lane = 0; lane < 4; ++lane) {
      values[lane] = table[(bits >> (16 * lane)) & 0xffff];
    }
    if (count - i >= 4) {
      std::memcpy(out.data() + i * sizeof(T), values, sizeof(values));
    } else {
      std::memcpy(out.data() + i * sizeof(T), values, (count - i) * sizeof(T));
    }
  }
}

}  // namespace

double normal_quantile(double p) noexcept {
  // P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function".
  constexpr double kA[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                           1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kB[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                           6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double kC[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                           -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kD[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                           3.754408661907416e+00};
  constexpr double kTail = 0.02425;
  if (p > 0.5) return -normal_quantile(1.0 - p);
  if (p < kTail) {
    const double q = std::sqrt(-2.0 * std::log(p));
    return (((((kC[0] * q + kC[1]) * q + kC[2]) * q + kC[3]) * q + kC[4]) * q + kC[5]) /
           ((((kD[0] * q + kD[1]) * q + kD[2]) * q + kD[3]) * q + 1.0);
  }
  const double q = p - 0.5;
  const double r = q * q;
  return (((((kA[0] * r + kA[1]) * r + kA[2]) * r + kA[3]) * r + kA[4]) * r + kA[5]) * q /
         (((((kB[0] * r + kB[1]) * r + kB[2]) * r + kB[3]) * r + kB[4]) * r + 1.0);
}

NormalTable::NormalTable(DType dtype, double mean, double deviation) : dtype_(dtype) {
  for (std::size_t k = 0; k < kTableSize; ++k) {
    const double z = normal_quantile((static_cast<double>(k) + 0.5) / kTableSize);
    const auto value = static_cast<float>(mean + deviation * z);
    switch (dtype) {
      case DType::kBF16:
        narrow_.push_back(BF16::from_float(value).bits);
        break;
      case DType::kF16:
        narrow_.push_back(F16::from_float(value).bits);
        break;
      default:
        wide_.push_back(std::bit_cast<std::uint32_t>(value));
        break;
    }
  }
}

void NormalTable::fill(std::uint64_t key, std::int64_t first,
                       std::span<std::byte> out) const noexcept {
  const auto block = static_cast<std::uint64_t>(first / 4);
  if (dtype_ == DType::kF32) {
    fill_as(wide_.data(), key, block, out);
  } else {
    fill_as(narrow_.data(), key, block, out);
  }
}

std::uint64_t stream_key(std::uint64_t seed, std::string_view tensor) noexcept {
  // FNV-1a of the name, then mixed with the seed.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix(hash ^ mix(seed + kGolden));
}

}  // namespace airlock
