// Pads from module-LWE samples: tables of public polynomials, one a column, and the transforms that
// make pads, and what pads become in a product, from them. Lanes are neighbouring columns, rows are
// coefficients: row-major tensors need no transposition.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"

namespace airlock {

/// Ring F_p[X]/(X^degree + 1) and the number of polynomials a column.
struct LatticeParameters {
  int degree = 512;  ///< a power of two in [256, 4096]: token rows of one secret
  int rank = 3;
  friend bool operator==(const LatticeParameters&, const LatticeParameters&) = default;
  [[nodiscard]] int rows() const noexcept { return degree * rank; }
};
/// degree * rank at least: below, the estimate of docs/private.md does not hold.
inline constexpr int kMinLatticeDimension = 1536;
/// Ranks that the kernels are made for.
inline constexpr int kMaxLatticeRank = 8;
/// Throws Error(kInvalidArgument), saying what is secure, for parameters outside that.
void check_lattice(const LatticeParameters& parameters);

/// Columns of a block: what one pass of the kernels has in its lanes, on every processor.
inline constexpr std::int64_t kLatticeBlock = 16;

/// Polynomials of `columns` columns in the transform domain, as kernels stream them:
/// [blocks of 16 columns][rank * degree][16] u32 below p, columns padded with zeros. Immutable once
/// filled; then any thread may read it.
class PolynomialTable {
 public:
  PolynomialTable() = default;
  /// Throws Error(kInvalidArgument) for a ring that the kernels are not made for; its security is
  /// check_lattice's business.
  PolynomialTable(const BufferPool& pool, const LatticeParameters& parameters,
                  std::int64_t columns);

  /// Fills rows [row, row + rows) of the rank * degree from `values` [rows, columns] u32, of which
  /// any 32 bits count modulo p. Different rows may be filled by different threads.
  void set_rows(std::int64_t row, std::int64_t rows, const std::uint32_t* values);

  [[nodiscard]] const LatticeParameters& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::int64_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::int64_t blocks() const noexcept {
    return (columns_ + kLatticeBlock - 1) / kLatticeBlock;
  }
  [[nodiscard]] const std::uint32_t* block(std::int64_t index) const noexcept {
    return data_.as<std::uint32_t>() + index * parameters_.rows() * kLatticeBlock;
  }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return data_.span(); }
  [[nodiscard]] std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(data_.size());
  }

 private:
  LatticeParameters parameters_;
  std::int64_t columns_ = 0;
  Buffer data_;
};

/// tile[t][c] = coefficient t, in [0, degree), of INTT(sum over i of table_i * secret_i) for the
/// columns of blocks [block, block + blocks): row-major, rows `stride` elements apart (at least
/// blocks * 16). `secret`: [rank * degree] u32 below p, in the transform domain, whose order is the
/// transform's own. Constant time in the secret. Thread-safe; allocates nothing, but takes up to
/// 400 KB of stack (50 KB at degree 512), wiped. A block's part of the table is read from memory
/// once: take the tiles of all secrets that use it one after the other.
void lattice_tile(const PolynomialTable& table, std::int64_t block, std::int64_t blocks,
                  std::span<const std::uint32_t> secret, std::uint32_t* tile, std::int64_t stride);

/// One column's forward negacyclic transform in the same order, in place: [degree] u32. Plain and
/// slow: for tests and checks.
void forward_transform(std::span<std::uint32_t> coefficients);

}  // namespace airlock
