#include "airlock/shield/lattice.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "airlock/core/error.h"
#include "airlock/math/field.h"
#include "airlock/math/field_random.h"
#include "airlock/shield/lattice_blocks.h"

namespace airlock {
namespace {

constexpr int kMinDegree = 256;
constexpr int kMaxDegree = 4096;
/// Generates the multiplicative group.
constexpr std::uint32_t kGenerator = 3;
static_assert(field_pow(kGenerator, (kFieldPrime - 1) / 2) == kFieldPrime - 1 &&
              field_pow(kGenerator, (kFieldPrime - 1) / 127) != 1 &&
              (kFieldPrime - 1) == 127U << 24);

/// A root of X^degree + 1.
constexpr std::uint32_t root_of(int degree) {
  return field_pow(kGenerator, (kFieldPrime - 1) / (2 * static_cast<std::uint32_t>(degree)));
}

/// The lower log2(degree) bits of `index` in the opposite order.
std::uint32_t bit_reverse(std::uint32_t index, int degree) {
  std::uint32_t reversed = 0;
  for (int bit = 1; bit < degree; bit *= 2, index >>= 1) reversed = reversed << 1 | (index & 1);
  return reversed;
}

template <int kDegree>
struct InverseTwiddles {
  std::array<detail::ShoupFactor, kDegree> at;

  InverseTwiddles() {
    const std::uint32_t inverse = field_inverse(root_of(kDegree));
    std::uint32_t power = 1;
    for (std::uint32_t i = 0; i < kDegree; ++i, power = field_mul(power, inverse)) {
      at[bit_reverse(i, kDegree)] = detail::shoup_factor(power);
    }
  }
};

template <int kDegree>
void tile_of(detail::LatticeBlocks blocks) {
  static const InverseTwiddles<kDegree> twiddles;
  static const auto scale = detail::shoup_factor(
      field_mul(field_pow(2, 32), field_inverse(static_cast<std::uint32_t>(kDegree))));
  alignas(64) std::uint32_t scratch[detail::lattice_scratch(kDegree)];
  alignas(64) std::uint32_t scaled[kDegree * kMaxLatticeRank];
  blocks.twiddles = twiddles.at.data();
  blocks.scale = scale;
  blocks.scratch = scratch;
  blocks.scaled = scaled;
  detail::lattice_blocks(blocks);
  wipe(std::as_writable_bytes(std::span(scratch)));
  wipe(std::as_writable_bytes(
      std::span(scaled).first(static_cast<std::size_t>(kDegree * blocks.rank))));
}

void check_ring(const LatticeParameters& parameters) {
  const auto& [degree, rank] = parameters;
  require(degree >= kMinDegree && degree <= kMaxDegree &&
              std::has_single_bit(static_cast<unsigned>(degree)),
          ErrorCode::kInvalidArgument,
          "lattice of degree {}: expected 256, 512, 1024, 2048 or 4096", degree);
  require(rank >= 1 && rank <= kMaxLatticeRank, ErrorCode::kInvalidArgument,
          "lattice of rank {}: expected 1 to {}", rank, kMaxLatticeRank);
}

}  // namespace

void check_lattice(const LatticeParameters& parameters) {
  check_ring(parameters);
  require(
      parameters.rows() >= kMinLatticeDimension, ErrorCode::kInvalidArgument,
      "lattice of degree {} and rank {} has dimension {}: secure from {} on, so expected a rank "
      "of {} or more",
      parameters.degree, parameters.rank, parameters.rows(), kMinLatticeDimension,
      (kMinLatticeDimension + parameters.degree - 1) / parameters.degree);
}

PolynomialTable::PolynomialTable(const BufferPool& pool, const LatticeParameters& parameters,
                                 std::int64_t columns)
    : parameters_(parameters), columns_(columns) {
  check_ring(parameters);
  require(columns > 0 && columns <= std::int64_t{1} << 32, ErrorCode::kInvalidArgument,
          "table of polynomials for {} columns: expected 1 to 2^32", columns);
  data_ = pool.acquire(static_cast<std::size_t>(blocks() * parameters_.rows() * kLatticeBlock) *
                       sizeof(std::uint32_t));
}

void PolynomialTable::set_rows(std::int64_t row, std::int64_t rows, const std::uint32_t* values) {
  require(row >= 0 && rows >= 0 && row + rows <= parameters_.rows(), ErrorCode::kInternal,
          "rows {} to {} of a table of {} rows", row, row + rows, parameters_.rows());
  auto* const data = data_.as<std::uint32_t>();
  // A few rows at a time: as many streams are read, and written in pieces of several lines.
  constexpr std::int64_t kRows = 8;
  for (std::int64_t first = 0; first < rows; first += kRows) {
    const std::int64_t end = std::min(first + kRows, rows);
    for (std::int64_t block = 0; block < blocks(); ++block) {
      const std::int64_t column = block * kLatticeBlock;
      const std::int64_t count = std::min(kLatticeBlock, columns_ - column);
      for (std::int64_t r = first; r < end; ++r) {
        const std::uint32_t* const from = values + r * columns_ + column;
        std::uint32_t* const to = data + (block * parameters_.rows() + row + r) * kLatticeBlock;
        for (std::int64_t c = 0; c < count; ++c) {
          const std::uint32_t once = std::min(from[c], from[c] - kFieldPrime);
          to[c] = std::min(once, once - kFieldPrime);
        }
        std::fill(to + count, to + kLatticeBlock, 0U);
      }
    }
  }
}

void lattice_tile(const PolynomialTable& table, std::int64_t block, std::int64_t blocks,
                  std::span<const std::uint32_t> secret, std::uint32_t* tile, std::int64_t stride) {
  const auto& [degree, rank] = table.parameters();
  require(block >= 0 && blocks >= 0 && block + blocks <= table.blocks() &&
              std::ssize(secret) == table.parameters().rows() && stride >= blocks * kLatticeBlock,
          ErrorCode::kInternal,
          "lattice tile of blocks {} to {} of {}, {} secret elements for {}, stride {}", block,
          block + blocks, table.blocks(), secret.size(), table.parameters().rows(), stride);
  if (blocks == 0) return;
  detail::LatticeBlocks job;
  job.degree = degree;
  job.rank = rank;
  job.blocks = blocks;
  job.table = table.block(block);
  job.secret = secret.data();
  job.tile = tile;
  job.stride = stride;
  switch (degree) {
    case 256:
      return tile_of<256>(job);
    case 512:
      return tile_of<512>(job);
    case 1024:
      return tile_of<1024>(job);
    case 2048:
      return tile_of<2048>(job);
    default:
      return tile_of<4096>(job);
  }
}

void forward_transform(std::span<std::uint32_t> coefficients) {
  const int degree = static_cast<int>(coefficients.size());
  check_ring({degree, 1});
  const std::uint32_t root = root_of(degree);
  // Cooley and Tukey, with the powers that turn the cyclic transform into the negacyclic one within
  // the twiddles (Longa and Naehrig, eprint 2016/504).
  std::size_t half = coefficients.size();
  for (std::size_t groups = 1; groups < coefficients.size(); groups *= 2) {
    half /= 2;
    for (std::size_t g = 0; g < groups; ++g) {
      const std::uint32_t twiddle =
          field_pow(root, bit_reverse(static_cast<std::uint32_t>(groups + g), degree));
      for (std::size_t i = 2 * g * half; i < (2 * g + 1) * half; ++i) {
        const std::uint32_t low = coefficients[i];
        const std::uint32_t high = field_mul(coefficients[i + half], twiddle);
        coefficients[i] = field_add(low, high);
        coefficients[i + half] = field_sub(low, high);
      }
    }
  }
}

}  // namespace airlock
