// The noise that rows under lattice pads carry: e uniform in -8..7, what makes the pads samples of
// module-LWE.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "airlock/math/field_random.h"

namespace airlock {

inline constexpr int kNoiseBound = 8;  ///< largest magnitude

/// Draws noise. Not thread-safe; uses all threads itself.
class NoiseSource {
 public:
  NoiseSource() = default;
  NoiseSource(const NoiseSource&) = delete;
  NoiseSource& operator=(const NoiseSource&) = delete;
  virtual ~NoiseSource() = default;

  /// Fills `noise` [rows, columns] for rows x [rows, columns] f32, which tests derive theirs from.
  virtual void fill(const float* x, std::int64_t rows, std::int64_t columns,
                    std::int8_t* noise) = 0;
};

/// Fresh noise, each thread's from a generator of its own.
class SecretNoise final : public NoiseSource {
 public:
  SecretNoise();
  void fill(const float* x, std::int64_t rows, std::int64_t columns, std::int8_t* noise) override;

 private:
  std::vector<SecretRandom> random_;
};

}  // namespace airlock
