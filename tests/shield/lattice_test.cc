#include "airlock/shield/lattice.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/field.h"

#include "tests/math/targets.h"
#include "tests/shield/field_values.h"

namespace airlock::lattice_test {
namespace {

using Polynomial = std::vector<std::uint32_t>;
constexpr std::uint32_t kGuard = 0xdeadbeef;

/// a * b in F_p[X]/(X^degree + 1) by the definition.
Polynomial schoolbook(const Polynomial& a, const Polynomial& b) {
  const std::size_t degree = a.size();
  Polynomial product(degree);
  for (std::size_t i = 0; i < degree; ++i) {
    if (a[i] == 0) continue;
    for (std::size_t j = 0; j < degree; ++j) {
      const std::uint32_t term = field_mul(a[i], b[j]);
      std::uint32_t& sum = product[(i + j) % degree];
      sum = i + j < degree ? field_add(sum, term) : field_sub(sum, term);
    }
  }
  return product;
}

Polynomial transformed(Polynomial coefficients) {
  forward_transform(coefficients);
  return coefficients;
}

/// Polynomials in the coefficient domain, [rank][columns], and the table of their transforms.
struct Columns {
  LatticeParameters parameters;
  std::int64_t columns;
  std::vector<Polynomial> plain;
  PolynomialTable table;

  Columns(const LatticeParameters& ring, std::int64_t count, bool extreme = false)
      : parameters(ring), columns(count), table(BufferPool(), ring, count) {
    std::vector<std::uint32_t> values(static_cast<std::size_t>(ring.rows() * count));
    for (int i = 0; i < ring.rank; ++i) {
      for (std::int64_t c = 0; c < count; ++c) {
        Polynomial polynomial =
            testing::random_field(ring.degree, static_cast<unsigned>(1000 * i + c));
        Polynomial image = transformed(polynomial);
        if (extreme) {  // of the transform, for the largest sums of products
          image.assign(image.size(), kFieldPrime - 1);
          polynomial.assign(polynomial.size(), 0);
          polynomial[0] = kFieldPrime - 1;
        }
        for (int t = 0; t < ring.degree; ++t) {
          values[static_cast<std::size_t>((i * ring.degree + t) * count + c)] =
              image[static_cast<std::size_t>(t)];
        }
        plain.push_back(polynomial);
      }
    }
    // In two goes, as several threads do.
    const std::int64_t cut = ring.rows() / 3;
    table.set_rows(0, cut, values.data());
    table.set_rows(cut, ring.rows() - cut, values.data() + cut * count);
  }

  [[nodiscard]] Polynomial expected(const std::vector<Polynomial>& secrets, std::int64_t c) const {
    Polynomial sum(static_cast<std::size_t>(parameters.degree));
    for (std::size_t i = 0; i < secrets.size(); ++i) {
      const Polynomial product = schoolbook(
          secrets[i], plain[i * static_cast<std::size_t>(columns) + static_cast<std::size_t>(c)]);
      for (std::size_t t = 0; t < sum.size(); ++t) sum[t] = field_add(sum[t], product[t]);
    }
    return sum;
  }
};

struct Secret {
  std::vector<Polynomial> plain;
  std::vector<std::uint32_t> image;

  explicit Secret(const LatticeParameters& ring, unsigned seed = 99) {
    for (int i = 0; i < ring.rank; ++i) {
      plain.push_back(testing::random_field(ring.degree, seed + static_cast<unsigned>(i)));
      const Polynomial part = transformed(plain.back());
      image.insert(image.end(), part.begin(), part.end());
    }
  }
};

std::vector<std::uint32_t> tile_of(const Columns& columns, const Secret& secret, std::int64_t block,
                                   std::int64_t blocks, std::int64_t stride) {
  std::vector<std::uint32_t> tile(static_cast<std::size_t>(columns.parameters.degree * stride),
                                  kGuard);
  lattice_tile(columns.table, block, blocks, secret.image, tile.data(), stride);
  return tile;
}

void expect_products(const Columns& columns, const Secret& secret,
                     const std::vector<std::int64_t>& checked) {
  const std::int64_t blocks = columns.table.blocks();
  const std::int64_t stride = blocks * kLatticeBlock + 5;
  std::vector<Polynomial> expected;
  for (const std::int64_t c : checked) expected.push_back(columns.expected(secret.plain, c));
  testing::for_each_target([&] {
    const auto tile = tile_of(columns, secret, 0, blocks, stride);
    for (std::int64_t t = 0; t < columns.parameters.degree; ++t) {
      const std::uint32_t* const row = &tile[static_cast<std::size_t>(t * stride)];
      for (std::size_t k = 0; k < checked.size(); ++k) {
        ASSERT_EQ(row[checked[k]], expected[k][static_cast<std::size_t>(t)])
            << "row " << t << " of column " << checked[k];
      }
      for (std::int64_t c = columns.columns; c < blocks * kLatticeBlock; ++c) {
        ASSERT_EQ(row[c], 0U) << "column " << c << " of the padding";
      }
      for (std::int64_t c = blocks * kLatticeBlock; c < stride; ++c) ASSERT_EQ(row[c], kGuard);
    }
  });
}

TEST(Lattice, TilesAreSumsOfNegacyclicProductsAtEveryRank) {
  for (int rank = 1; rank <= kMaxLatticeRank; ++rank) {
    SCOPED_TRACE(rank);
    const LatticeParameters ring{256, rank};
    expect_products(Columns(ring, 19), Secret(ring), {0, 1, 7, 8, 15, 16, 18});
  }
}

TEST(Lattice, TilesAreSumsOfNegacyclicProductsAtEveryDegree) {
  for (const int degree : {512, 1024, 2048, 4096}) {
    SCOPED_TRACE(degree);
    const LatticeParameters ring{degree, degree == 512 ? 3 : 2};
    expect_products(Columns(ring, 17), Secret(ring), {0, 5, 16});
  }
}

TEST(Lattice, TheLargestSumsDoNotOverflow) {
  for (const int rank : {1, 3, 4, 5, 8}) {
    SCOPED_TRACE(rank);
    const LatticeParameters ring{256, rank};
    Secret secret(ring);
    for (Polynomial& polynomial : secret.plain) {
      polynomial.assign(polynomial.size(), 0);
      polynomial[0] = kFieldPrime - 1;
    }
    secret.image.assign(secret.image.size(), kFieldPrime - 1);
    expect_products(Columns(ring, 2, true), secret, {0, 1});
  }
}

TEST(Lattice, BlocksMayBeTakenFromTheMiddle) {
  const LatticeParameters ring{512, 3};
  const Columns columns(ring, 5 * kLatticeBlock);
  const Secret secret(ring);
  testing::for_each_target([&] {
    const auto whole = tile_of(columns, secret, 0, 5, 5 * kLatticeBlock);
    const auto middle = tile_of(columns, secret, 2, 2, 2 * kLatticeBlock);
    for (std::int64_t t = 0; t < ring.degree; ++t) {
      for (std::int64_t c = 0; c < 2 * kLatticeBlock; ++c) {
        ASSERT_EQ(middle[static_cast<std::size_t>(t * 2 * kLatticeBlock + c)],
                  whole[static_cast<std::size_t>((t * 5 + 2) * kLatticeBlock + c)]);
      }
    }
  });
}

TEST(Lattice, TablesTakeAny32BitsModuloP) {
  const LatticeParameters ring{256, 1};
  const std::vector<std::uint32_t> extremes = {0,
                                               1,
                                               kFieldPrime - 1,
                                               kFieldPrime,
                                               kFieldPrime + 1,
                                               2 * kFieldPrime - 1,
                                               2 * kFieldPrime,
                                               0xffffffffU};
  std::vector<std::uint32_t> values;
  for (int i = 0; i < ring.rows(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) values.push_back(extremes[(i + c) % extremes.size()]);
  }
  PolynomialTable table(BufferPool(), ring, 3);
  table.set_rows(0, ring.rows(), values.data());
  for (int i = 0; i < ring.rows(); ++i) {
    for (int c = 0; c < static_cast<int>(kLatticeBlock); ++c) {
      const std::uint32_t expected =
          c < 3 ? values[static_cast<std::size_t>(3 * i + c)] % kFieldPrime : 0;
      ASSERT_EQ(table.block(0)[i * kLatticeBlock + c], expected);
    }
  }
}

TEST(Lattice, ParametersOutsideTheSecureRangeAreRefusedWithWhatIsSecure) {
  for (const LatticeParameters& ring :
       {LatticeParameters{512, 3}, {256, 6}, {1024, 2}, {2048, 1}, {4096, 1}, {512, 8}}) {
    EXPECT_NO_THROW(check_lattice(ring)) << ring.degree << " " << ring.rank;
  }
  const auto message = [](const LatticeParameters& ring) -> std::string {
    try {
      check_lattice(ring);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({512, 2}),
            "lattice of degree 512 and rank 2 has dimension 1024: secure from 1536 on, so expected "
            "a rank of 3 or more");
  EXPECT_NE(message({256, 5}), "");
  EXPECT_NE(message({1024, 1}), "");
  for (const int degree : {-512, 0, 1, 128, 500, 768, 8192, 1 << 30}) {
    EXPECT_EQ(message({degree, 3}), "lattice of degree " + std::to_string(degree) +
                                        ": expected 256, 512, 1024, 2048 or 4096");
  }
  for (const int rank : {-1, 0, 9, 1 << 30}) {
    EXPECT_EQ(message({512, rank}),
              "lattice of rank " + std::to_string(rank) + ": expected 1 to 8");
  }
  EXPECT_THROW(PolynomialTable(BufferPool(), {500, 3}, 16), Error);
  EXPECT_THROW(PolynomialTable(BufferPool(), {512, 3}, 0), Error);
}

TEST(Lattice, TilesOutsideTheTableAreRefused) {
  const LatticeParameters ring{256, 1};
  const Columns columns(ring, 20);
  const Secret secret(ring);
  std::vector<std::uint32_t> tile(256 * 64);
  const auto run = [&](std::int64_t block, std::int64_t blocks, std::size_t elements,
                       std::int64_t stride) {
    lattice_tile(columns.table, block, blocks, std::span(secret.image).first(elements), tile.data(),
                 stride);
  };
  EXPECT_NO_THROW(run(0, 2, 256, 32));
  EXPECT_NO_THROW(run(2, 0, 256, 0));
  EXPECT_THROW(run(1, 2, 256, 32), Error);
  EXPECT_THROW(run(-1, 1, 256, 32), Error);
  EXPECT_THROW(run(0, 1, 255, 32), Error);
  EXPECT_THROW(run(0, 2, 256, 31), Error);
}

}  // namespace
}  // namespace airlock::lattice_test
