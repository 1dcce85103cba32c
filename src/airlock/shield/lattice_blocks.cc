#include "airlock/shield/lattice_blocks.h"

#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/shield/lattice_blocks.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/shield/field_simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

using detail::LatticeBlocks;
using detail::ShoupFactor;

/// At most the 16 columns of a block. Fewer lanes take a block's row in parts, of which each has
/// its own region of the scratch.
using Columns = hn::CappedTag<std::uint32_t, kLatticeBlock>;
using ColumnVec = hn::Vec<Columns>;

HWY_INLINE std::int64_t column_lanes() {
  return static_cast<std::int64_t>(hn::Lanes(Columns()));
}

/// Sum of kRank products of table rows and secrets, each `degree` rows after the other, over 2^32.
template <int kRank>
HWY_INLINE ColumnVec multiply_row(const std::uint32_t* row, const std::uint32_t* secret,
                                  std::int64_t degree) {
  constexpr int kAtOnce = kRank < 4 ? kRank : 4;
  const Columns d;
  const auto product = [&](int i) {
    return mul_broadcast(d, hn::LoadU(d, row + i * degree * kLatticeBlock),
                         hn::Set(d, secret[i * degree]));
  };
  auto sums = product(0);
#pragma GCC unroll 4
  for (int i = 1; i < kAtOnce; ++i) {
    const auto next = product(i);
    sums.even = hn::Add(sums.even, next.even);
    sums.odd = hn::Add(sums.odd, next.odd);
  }
  const auto sum = reduce_sums(d, sums);
  if constexpr (kRank <= kAtOnce) {
    return sum;
  } else {
    return reduce_once(
        d, hn::Add(sum, multiply_row<kRank - kAtOnce>(row + kAtOnce * degree * kLatticeBlock,
                                                      secret + kAtOnce * degree, degree)));
  }
}

/// Products of `count` rows into `lines`, `part` elements from one part of a row to the next.
/// Meanwhile the rows `ahead` elements on are fetched.
template <int kRank>
HWY_NOINLINE void multiply_rows(const LatticeBlocks& job, const std::uint32_t* row,
                                const std::uint32_t* secret, std::int64_t count, std::int64_t ahead,
                                std::uint32_t* lines, std::int64_t part) {
  const std::int64_t lanes = column_lanes();
  for (std::int64_t r = 0; r < count; ++r) {
    const std::uint32_t* const at = row + r * kLatticeBlock;
#pragma GCC unroll 8
    for (int i = 0; i < kRank; ++i) hwy::Prefetch(at + i * job.degree * kLatticeBlock + ahead);
    for (std::int64_t c = 0; c < kLatticeBlock; c += lanes) {
      hn::Store(multiply_row<kRank>(at + c, secret + r, job.degree), Columns(),
                lines + c / lanes * part + r * lanes);
    }
  }
}

/// kLevels levels of the inverse transform (Gentleman and Sande), from distance `distance` on, for
/// `count` lines of one group of 2^kLevels. `first` is the index of the group's first twiddle:
/// levels before have used twice as many. Reduced in, reduced out, by store(line of the group,
/// index, values).
template <int kLevels, class StoreLine>
HWY_INLINE void transform_group(const ShoupFactor* twiddles, std::int64_t first,
                                const std::uint32_t* lines, std::int64_t distance,
                                std::int64_t count, const StoreLine& store) {
  constexpr int kLines = 1 << kLevels;
  const Columns d;
  const std::int64_t lanes = column_lanes();
  // Before the loop, which stores what might be twiddles for all that the compiler knows.
  ColumnVec factors[kLines];
  ColumnVec quotients[kLines];
#pragma GCC unroll 8
  for (int i = 1; i < kLines; ++i) {  // of the last level, of the two before it, of the four before
    const int level = kLevels - std::bit_width(static_cast<unsigned>(i));
    const ShoupFactor& twiddle = twiddles[(first >> level) + i - (kLines >> (level + 1))];
    factors[i] = hn::Set(d, twiddle.factor);
    quotients[i] = hn::Set(d, twiddle.quotient);
  }
  const auto p = hn::Set(d, detail::kPrimeVariable);
  for (std::int64_t j = 0; j < count; ++j) {
    ColumnVec v[kLines];
#pragma GCC unroll 8
    for (int i = 0; i < kLines; ++i) v[i] = hn::Load(d, lines + i * distance + j * lanes);
#pragma GCC unroll 8
    for (int level = 0; level < kLevels; ++level) {
#pragma GCC unroll 8
      for (int pair = 0; pair < kLines / 2; ++pair) {
        const int group = pair >> level;
        const int low = (group << (level + 1)) + (pair & ((1 << level) - 1));
        const int high = low + (1 << level);
        const int twiddle = (kLines >> (level + 1)) + group;
        const auto sum = reduce_once(d, hn::Add(v[low], v[high]));
        const auto difference = hn::Add(hn::Sub(v[low], v[high]), p);
        v[high] = reduce_once(d, mul_shoup(d, difference, factors[twiddle], quotients[twiddle], p));
        v[low] = sum;
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kLines; ++i) store(i, j, v[i]);
  }
}

/// The first levels, of which there are kLevels and then three more, within a chunk of 2^(kLevels +
/// 3) rows, which stays in the first-level cache.
template <int kLevels>
HWY_NOINLINE void transform_chunk(const LatticeBlocks& job, std::int64_t chunk,
                                  std::uint32_t* lines) {
  const Columns d;
  const std::int64_t lanes = column_lanes();
  constexpr std::int64_t kLines = std::int64_t{1} << kLevels;
  for (std::int64_t g = 0; g < 8; ++g) {
    std::uint32_t* const group = lines + g * kLines * lanes;
    transform_group<kLevels>(
        job.twiddles, (job.degree + (chunk * 8 + g) * kLines) / 2, group, lanes, 1,
        [&](int i, std::int64_t, ColumnVec v) { hn::Store(v, d, group + i * lanes); });
  }
  transform_group<3>(job.twiddles, (job.degree / kLines + chunk * 8) / 2, lines, kLines * lanes,
                     kLines, [&](int i, std::int64_t j, ColumnVec v) {
                       hn::Store(v, d, lines + (i * kLines + j) * lanes);
                     });
}

/// Three levels from distance `rows` on, over all rows; the last ones put them into the tile.
template <bool kLast>
HWY_NOINLINE void transform_all(const LatticeBlocks& job, std::int64_t rows, std::uint32_t* lines,
                                std::uint32_t* tile) {
  const Columns d;
  const std::int64_t lanes = column_lanes();
  const std::int64_t chunk = detail::lattice_chunk(job.degree);
  const std::int64_t distance = (rows + rows / chunk) * lanes;
  for (std::int64_t g = 0; g < job.degree / (8 * rows); ++g) {
    for (std::int64_t c = 0; c < rows / chunk; ++c) {
      std::uint32_t* const at = lines + g * 8 * distance + c * (chunk + 1) * lanes;
      transform_group<3>(job.twiddles, (job.degree / rows + g * 8) / 2, at, distance, chunk,
                         [&](int i, std::int64_t j, ColumnVec v) {
                           if constexpr (kLast) {
                             hn::StoreU(v, d, tile + (i * rows + c * chunk + j) * job.stride);
                           } else {
                             hn::Store(v, d, at + i * distance + j * lanes);
                           }
                         });
    }
  }
}

HWY_INLINE void multiply_rows_of(const LatticeBlocks& job, const std::uint32_t* row,
                                 const std::uint32_t* secret, std::int64_t count,
                                 std::int64_t ahead, std::uint32_t* lines, std::int64_t part) {
  static_assert(kMaxLatticeRank == 8);
  constexpr decltype(&multiply_rows<1>) kOfRank[] = {
      multiply_rows<1>, multiply_rows<2>, multiply_rows<3>, multiply_rows<4>,
      multiply_rows<5>, multiply_rows<6>, multiply_rows<7>, multiply_rows<8>};
  kOfRank[job.rank - 1](job, row, secret, count, ahead, lines, part);
}

void lattice_blocks_simd(const LatticeBlocks& job) {
  const Columns d;
  const std::int64_t lanes = column_lanes();
  const std::int64_t table_rows = std::int64_t{job.degree} * job.rank;
  for (std::int64_t i = 0; i < table_rows; i += lanes) {
    const auto scaled =
        mul_shoup(d, hn::LoadU(d, job.secret + i), hn::Set(d, job.scale.factor),
                  hn::Set(d, job.scale.quotient), hn::Set(d, detail::kPrimeVariable));
    hn::Store(reduce_once(d, scaled), d, job.scaled + i);
  }
  const std::int64_t chunk = detail::lattice_chunk(job.degree);
  const std::int64_t chunks = job.degree / chunk;
  const std::int64_t part = (job.degree + chunks) * lanes;
  for (std::int64_t b = 0; b < job.blocks; ++b) {
    const std::uint32_t* const table = job.table + b * table_rows * kLatticeBlock;
    for (std::int64_t c = 0; c < chunks; ++c) {
      std::uint32_t* const lines = job.scratch + c * (chunk + 1) * lanes;
      const std::int64_t row = c * chunk;
      const std::int64_t ahead = c + 1 < chunks ? chunk : b + 1 < job.blocks ? table_rows - row : 0;
      multiply_rows_of(job, table + row * kLatticeBlock, job.scaled + row, chunk,
                       ahead * kLatticeBlock, lines, part);
      for (std::int64_t h = 0; h < kLatticeBlock / lanes; ++h) {
        std::uint32_t* const own = lines + h * part;
        switch (chunk) {
          case 16:
            transform_chunk<1>(job, c, own);
            break;
          case 32:
            transform_chunk<2>(job, c, own);
            break;
          default:
            transform_chunk<3>(job, c, own);
        }
      }
    }
    for (std::int64_t h = 0; h < kLatticeBlock / lanes; ++h) {
      std::uint32_t* const lines = job.scratch + h * part;
      std::uint32_t* const tile = job.tile + b * kLatticeBlock + h * lanes;
      std::int64_t rows = chunk;
      for (; rows < job.degree / 8; rows *= 8) transform_all<false>(job, rows, lines, tile);
      transform_all<true>(job, rows, lines, tile);
    }
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(lattice_blocks_simd);

namespace detail {
void lattice_blocks(const LatticeBlocks& blocks) {
  HWY_DYNAMIC_DISPATCH(lattice_blocks_simd)(blocks);
}
}  // namespace detail
}  // namespace airlock
#endif
