// Field elements for the tests of shield/.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "airlock/math/field.h"

namespace airlock::testing {

/// Uniform below p, with 0, 1 and p - 1 more often than chance.
inline std::vector<std::uint32_t> random_field(std::int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<std::uint32_t> uniform(0, kFieldPrime - 1);
  std::vector<std::uint32_t> values(static_cast<std::size_t>(count));
  for (std::uint32_t& value : values) {
    switch (engine() % 16) {
      case 0:
        value = 0;
        break;
      case 1:
        value = kFieldPrime - 1;
        break;
      case 2:
        value = 1;
        break;
      default:
        value = uniform(engine);
    }
  }
  return values;
}

}  // namespace airlock::testing
