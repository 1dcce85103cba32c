#include "airlock/shield/tile_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/field.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"
#include "tests/shield/field_values.h"

namespace airlock::tile_kernels_test {
namespace {

constexpr std::int64_t kWidth = 700;  // of the tensors that tiles are parts of
constexpr std::uint32_t kGuard = 0x5a5a5a5aU;

struct Size {
  std::int64_t rows;
  std::int64_t columns;
};
const std::vector<Size>& sizes() {
  static const std::vector<Size> kSizes = [] {
    std::vector<Size> all = {{600, 64}, {257, 48}, {2, 640}};
    for (const std::int64_t columns : testing::kOddSizes) {
      if (columns < kWidth) all.push_back({3, columns});
    }
    return all;
  }();
  return kSizes;
}

/// Rows of f32 with extremes, and scales for integers of up to 2^30.
struct Input {
  std::vector<float> x;
  std::vector<RowScale> scales;
  std::vector<std::int8_t> noise;
  std::vector<std::uint32_t> pad;

  explicit Input(std::int64_t rows, float largest = 0x1p29F) {
    const std::int64_t count = rows * kWidth;
    x = testing::random_floats(count, 1, 0.1F);
    pad = testing::random_field(count, 2);
    std::mt19937 engine(3);
    for (std::int64_t i = 0; i < count; ++i) {
      noise.push_back(static_cast<std::int8_t>(static_cast<int>(engine() % 16) - 8));
      float& value = x[static_cast<std::size_t>(i)];
      value = std::clamp(value, -0.99F, 0.99F);
      switch (engine() % 16) {
        case 0:
          value = 0;
          break;
        case 1:
          value = 1;
          break;
        case 2:
          value = -1;
          break;
        default:
          break;
      }
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      // Small ones meet ties: 2.5 = 0.5 * 5.
      const float scale = r % 3 == 0 ? largest : r % 3 == 1 ? 5 : 1000;
      scales.push_back({scale, 1 / scale});
      for (std::size_t c = 0; c < 8; ++c) {
        x[static_cast<std::size_t>(r) * kWidth + c * 37] = (static_cast<float>(c) - 4) / 10;
      }
    }
  }
  [[nodiscard]] std::int64_t value(std::int64_t r, std::int64_t c, bool noisy) const {
    const auto i = static_cast<std::size_t>(r * kWidth + c);
    const float scaled = x[i] * scales[static_cast<std::size_t>(r)].scale;
    return static_cast<std::int64_t>(std::nearbyint(scaled)) + (noisy ? noise[i] : 0);
  }
};

struct Keys {
  std::vector<std::vector<std::uint32_t>> values;
  std::vector<std::vector<std::uint32_t>> sums;
  std::vector<std::vector<std::uint32_t>> start;

  Keys(int checks, std::int64_t rows, std::uint32_t modulus) {
    for (int c = 0; c < checks; ++c) {
      values.push_back(testing::random_field(kWidth, static_cast<unsigned>(100 + c)));
      start.push_back(testing::random_field(rows, static_cast<unsigned>(200 + c)));
      for (auto* all : {&values.back(), &start.back()}) {
        for (std::uint32_t& value : *all) value %= modulus;
      }
    }
  }
  template <typename Tile>
  void attach(Tile& tile) {
    sums = start;
    tile.checks = static_cast<int>(values.size());
    for (std::size_t c = 0; c < values.size(); ++c) {
      tile.keys[c] = values[c].data();
      tile.sums[c] = sums[c].data();
    }
  }
  /// Of `value(row, column)`, plain.
  template <typename Value>
  void expect(std::int64_t rows, std::int64_t columns, std::uint32_t modulus,
              const Value& value) const {
    const auto m = static_cast<std::int64_t>(modulus);
    for (std::size_t c = 0; c < values.size(); ++c) {
      for (std::int64_t r = 0; r < rows; ++r) {
        std::int64_t sum = start[c][static_cast<std::size_t>(r)];
        for (std::int64_t i = 0; i < columns; ++i) {
          sum = (sum + value(r, i) % m * values[c][static_cast<std::size_t>(i)]) % m;
        }
        ASSERT_EQ(sums[c][static_cast<std::size_t>(r)], static_cast<std::uint32_t>((sum + m) % m))
            << "check " << c << " of row " << r;
      }
    }
  }
};

TEST(MaskTile, IsTheScaledRowPlusNoisePlusPad) {
  for (const auto& [rows, columns] : sizes()) {
    SCOPED_TRACE(::testing::Message() << rows << " rows of " << columns);
    const Input input(rows);
    for (const bool noisy : {false, true}) {
      for (const bool padded : {false, true}) {
        Keys keys(static_cast<int>(columns % 7), rows, kFieldPrime);
        testing::for_each_target([&] {
          std::vector<std::uint32_t> out(static_cast<std::size_t>(rows * kWidth), kGuard);
          MaskTile tile;
          tile.rows = rows;
          tile.columns = columns;
          tile.x = input.x.data();
          tile.x_stride = tile.noise_stride = tile.pad_stride = tile.out_stride = kWidth;
          tile.scales = input.scales.data();
          tile.noise = noisy ? input.noise.data() : nullptr;
          tile.pad = padded ? input.pad.data() : nullptr;
          tile.out = out.data();
          keys.attach(tile);
          mask_tile(tile);
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < columns + 3; ++c) {
              const auto i = static_cast<std::size_t>(r * kWidth + c);
              const std::uint32_t expected =
                  c >= columns
                      ? kGuard
                      : field_add(to_field(input.value(r, c, noisy)), padded ? input.pad[i] : 0);
              ASSERT_EQ(out[i], expected) << "row " << r << ", column " << c;
            }
          }
          keys.expect(rows, columns, kFieldPrime,
                      [&](std::int64_t r, std::int64_t c) { return input.value(r, c, noisy); });
        });
      }
    }
  }
}

TEST(MaskTile, WithoutAPadRowsMayBe16Bits) {
  for (const std::int64_t columns : testing::kOddSizes) {
    if (columns >= kWidth) continue;
    const Input input(3, 32767);
    Keys keys(1, 3, kFieldPrime);
    testing::for_each_target([&] {
      std::vector<std::int16_t> out(3 * kWidth, 77);
      MaskTile tile;
      tile.rows = 3;
      tile.columns = columns;
      tile.x = input.x.data();
      tile.x_stride = tile.out_stride = kWidth;
      tile.scales = input.scales.data();
      tile.out = out.data();
      tile.out_dtype = DType::kI16;
      keys.attach(tile);
      mask_tile(tile);
      for (std::int64_t r = 0; r < 3; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          ASSERT_EQ(out[static_cast<std::size_t>(r * kWidth + c)], input.value(r, c, false));
        }
        ASSERT_EQ(out[static_cast<std::size_t>(r * kWidth + columns)], 77);
      }
      keys.expect(3, columns, kFieldPrime,
                  [&](std::int64_t r, std::int64_t c) { return input.value(r, c, false); });
    });
  }
}

TEST(MaskTile, SumsOfTheLargestProductsDoNotOverflow) {
  constexpr std::int64_t kColumns = 32768;
  for (const float sign : {-1.0F, 1.0F}) {
    const std::vector<float> x(kColumns, sign);
    const std::vector<std::uint32_t> key(kColumns, kFieldPrime - 1);
    const RowScale scale{static_cast<float>(kFieldPrime / 2 - 64), 0};
    testing::for_each_target([&] {
      std::vector<std::uint32_t> out(kColumns);
      std::uint32_t sum = 0;
      MaskTile tile;
      tile.rows = 1;
      tile.columns = kColumns;
      tile.x = x.data();
      tile.scales = &scale;
      tile.out = out.data();
      tile.checks = 1;
      tile.keys[0] = key.data();
      tile.sums[0] = &sum;
      mask_tile(tile);
      const auto value = static_cast<std::int64_t>(sign * scale.scale);
      EXPECT_EQ(sum, field_mul(to_field(-value), kColumns));
    });
  }
}

/// Any 32 bits, extremes among them.
std::vector<std::uint32_t> any_words(std::int64_t count) {
  std::mt19937 engine(11);
  std::vector<std::uint32_t> words(static_cast<std::size_t>(count));
  const std::uint32_t kExtremes[] = {0,
                                     1,
                                     kFieldPrime / 2,
                                     kFieldPrime / 2 + 1,
                                     kFieldPrime - 1,
                                     kFieldPrime,
                                     kFieldPrime + 1,
                                     2 * kFieldPrime - 1,
                                     2 * kFieldPrime,
                                     0xffffffffU};
  for (std::uint32_t& word : words) {
    word = engine() % 3 == 0 ? kExtremes[engine() % std::size(kExtremes)]
                             : static_cast<std::uint32_t>(engine());
  }
  return words;
}

struct Output {
  std::vector<std::uint32_t> words;
  std::vector<std::uint16_t> halves;
  std::vector<std::uint32_t> pad;
  std::vector<float> weight_scales;
  std::vector<RowScale> scales;

  explicit Output(std::int64_t rows)
      : words(any_words(rows * kWidth)),
        pad(testing::random_field(rows * kWidth, 12)),
        weight_scales(testing::random_floats(kWidth, 13)) {
    for (const std::uint32_t word : words) halves.push_back(static_cast<std::uint16_t>(word >> 7));
    halves[0] = 0xffff;
    halves[1] = 65025;
    for (std::int64_t r = 0; r < rows; ++r) {
      scales.push_back({1, 1 / (1 + static_cast<float>(r))});
    }
  }
  [[nodiscard]] std::int64_t value(std::int64_t r, std::int64_t c, DType dtype, bool padded) const {
    const auto i = static_cast<std::size_t>(r * kWidth + c);
    const std::uint32_t y = dtype == DType::kRing ? words[i] % kFieldPrime : from_ring16(halves[i]);
    return from_field(field_sub(y, padded ? pad[i] : 0));
  }
};

void expect_unmasked(std::int64_t rows, std::int64_t columns, DType dtype, bool padded,
                     std::uint32_t modulus) {
  const Output output(rows);
  Keys keys(static_cast<int>(columns % 3), rows, modulus);
  testing::for_each_target([&] {
    std::vector<float> out(static_cast<std::size_t>(rows * kWidth), -7);
    UnmaskTile tile;
    tile.rows = rows;
    tile.columns = columns;
    tile.y = dtype == DType::kRing ? static_cast<const void*>(output.words.data())
                                   : output.halves.data();
    tile.y_stride = tile.pad_stride = tile.out_stride = kWidth;
    tile.y_dtype = dtype;
    tile.pad = padded ? output.pad.data() : nullptr;
    tile.scales = output.scales.data();
    tile.weight_scales = output.weight_scales.data();
    tile.out = out.data();
    tile.check_modulus = modulus;
    keys.attach(tile);
    unmask_tile(tile);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const float value = static_cast<float>(output.value(r, c, dtype, padded));
        const float scaled = value * output.weight_scales[static_cast<std::size_t>(c)];
        ASSERT_EQ(out[static_cast<std::size_t>(r * kWidth + c)],
                  scaled * output.scales[static_cast<std::size_t>(r)].inverse)
            << "row " << r << ", column " << c;
      }
      ASSERT_EQ(out[static_cast<std::size_t>(r * kWidth + columns)], -7);
    }
    keys.expect(rows, columns, modulus,
                [&](std::int64_t r, std::int64_t c) { return output.value(r, c, dtype, padded); });
  });
}

TEST(UnmaskTile, IsTheCentredDifferenceScaled) {
  for (const auto& [rows, columns] : sizes()) {
    SCOPED_TRACE(::testing::Message() << rows << " rows of " << columns);
    for (const DType dtype : {DType::kRing, DType::kRing16}) {
      for (const bool padded : {false, true}) {
        expect_unmasked(rows, columns, dtype, padded, kFieldPrime);
      }
    }
  }
}

TEST(UnmaskTile, ChecksMayBeModuloASmallPrime) {
  for (const std::uint32_t modulus : {2U, 7U, 127U, 65537U}) {
    expect_unmasked(3, 101, DType::kRing, true, modulus);
  }
}

/// What a check is for: with keys modulo a prime q, an error of one element passes if the key of
/// its column is a multiple of q, so one time in q.
TEST(UnmaskTile, ACheckModuloASmallPrimeMissesOneErrorInAsMany) {
  constexpr std::uint32_t kModulus = 13;
  constexpr std::int64_t kColumns = 96;
  constexpr int kTrials = 4000;
  std::mt19937 engine(21);
  std::vector<std::uint32_t> y(kColumns);
  std::vector<std::uint32_t> key(kColumns);
  std::vector<float> out(kColumns);
  const std::vector<float> weight_scales(kColumns, 1);
  const RowScale scale{1, 1};
  int missed = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    for (auto& element : y) element = engine() % kFieldPrime;
    for (auto& element : key) element = engine() % kModulus;
    const auto sum_of = [&] {
      std::uint32_t sum = 0;
      UnmaskTile tile;
      tile.rows = 1;
      tile.columns = kColumns;
      tile.y = y.data();
      tile.scales = &scale;
      tile.weight_scales = weight_scales.data();
      tile.out = out.data();
      tile.checks = 1;
      tile.keys[0] = key.data();
      tile.sums[0] = &sum;
      tile.check_modulus = kModulus;
      unmask_tile(tile);
      return sum;
    };
    const std::uint32_t honest = sum_of();
    std::uint32_t& lie = y[engine() % kColumns];
    lie = lie == kFieldPrime / 2 ? 0 : field_add(lie, 1);
    missed += sum_of() == honest ? 1 : 0;
  }
  const double expected = static_cast<double>(kTrials) / kModulus;
  EXPECT_NEAR(missed, expected, 5 * std::sqrt(expected));
}

TEST(UnmaskTile, UndoesMaskTile) {
  constexpr std::int64_t kColumns = 75;
  const Input input(3);
  std::vector<std::uint32_t> masked(3 * kWidth);
  std::vector<float> back(3 * kWidth);
  const std::vector<float> ones(kWidth, 1);
  MaskTile mask;
  mask.rows = 3;
  mask.columns = kColumns;
  mask.x = input.x.data();
  mask.x_stride = mask.pad_stride = mask.out_stride = kWidth;
  mask.scales = input.scales.data();
  mask.pad = input.pad.data();
  mask.out = masked.data();
  mask_tile(mask);
  UnmaskTile unmask;
  unmask.rows = 3;
  unmask.columns = kColumns;
  unmask.y = masked.data();
  unmask.y_stride = unmask.pad_stride = unmask.out_stride = kWidth;
  unmask.pad = input.pad.data();
  unmask.scales = input.scales.data();
  unmask.weight_scales = ones.data();
  unmask.out = back.data();
  unmask_tile(unmask);
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      const auto i = static_cast<std::size_t>(r * kWidth + c);
      EXPECT_EQ(back[i], static_cast<float>(input.value(r, c, false)) *
                             input.scales[static_cast<std::size_t>(r)].inverse);
    }
  }
}

TEST(TileKernels, RefuseWhatNoOperatorCarries) {
  MaskTile mask;
  mask.out_dtype = DType::kF32;
  EXPECT_THROW(mask_tile(mask), Error);
  const std::uint32_t pad = 0;
  mask.out_dtype = DType::kI16;
  EXPECT_NO_THROW(mask_tile(mask));
  mask.pad = &pad;
  EXPECT_THROW(mask_tile(mask), Error);
  UnmaskTile unmask;
  unmask.y_dtype = DType::kI16;
  EXPECT_THROW(unmask_tile(unmask), Error);
  unmask.y_dtype = DType::kRing;
  unmask.checks = kMaxChecks + 1;
  EXPECT_THROW(unmask_tile(unmask), Error);
}

}  // namespace
}  // namespace airlock::tile_kernels_test
