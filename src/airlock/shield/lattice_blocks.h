// The vectorised transform behind lattice_tile. Internal to shield/.
#pragma once

#include <cstdint>

#include "airlock/math/field.h"
#include "airlock/shield/lattice.h"

namespace airlock::detail {

/// A constant factor below p and floor(factor * 2^32 / p), for Shoup's product.
struct ShoupFactor {
  std::uint32_t factor = 0;
  std::uint32_t quotient = 0;
};
[[nodiscard]] constexpr ShoupFactor shoup_factor(std::uint32_t factor) noexcept {
  return {factor, static_cast<std::uint32_t>((std::uint64_t{factor} << 32) / kFieldPrime)};
}

/// Rows that one secret's transform works on at a time before it goes over all of them: two
/// passes' worth. 16, 32 or 64, so that all passes but the first are of radix 8.
[[nodiscard]] constexpr int lattice_chunk(int degree) noexcept {
  int chunk = degree;
  while (chunk > 64) chunk /= 8;
  return chunk;
}
/// Elements of LatticeBlocks::scratch: a line more for each chunk, so that no pass walks a stride
/// of a power of two.
[[nodiscard]] constexpr std::int64_t lattice_scratch(int degree) noexcept {
  return (degree + degree / lattice_chunk(degree)) * kLatticeBlock;
}

struct LatticeBlocks {
  int degree = 0;
  int rank = 0;
  std::int64_t blocks = 0;
  const std::uint32_t* table = nullptr;   ///< [blocks][rank * degree][16], below p
  const std::uint32_t* secret = nullptr;  ///< [rank * degree], below p
  ShoupFactor scale;                      ///< of the secret: 2^32 / degree
  const ShoupFactor* twiddles = nullptr;  ///< [degree]: psi^-bitreverse(i), psi^degree = -1
  std::uint32_t* tile = nullptr;          ///< [degree] rows of blocks * 16, `stride` apart
  std::int64_t stride = 0;
  std::uint32_t* scaled = nullptr;   ///< [rank * degree], 64-byte aligned: the secret times `scale`
  std::uint32_t* scratch = nullptr;  ///< [lattice_scratch(degree)], 64-byte aligned
};
void lattice_blocks(const LatticeBlocks& blocks);

}  // namespace airlock::detail
