// The ring plans' work on the runner, on one core, at shapes of LLaMA 3.2-1B: pads from lattice
// samples, and the pass over a call's input and over its output. items/s are values; bytes/s are of
// all memory that must be read or written, beside a copy's.
#include <algorithm>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/math/field_random.h"
#include "airlock/shield/lattice.h"
#include "airlock/shield/tile_kernels.h"

namespace airlock {
namespace {

std::vector<std::uint32_t> random_values(std::int64_t count) {
  std::vector<std::uint32_t> values(static_cast<std::size_t>(count));
  expand_field_row({}, 0, values);
  return values;
}

/// A tensor, in memory as the engine has it.
Buffer tensor(std::int64_t count) {
  Buffer buffer = BufferPool().acquire(static_cast<std::size_t>(count) * 4);
  expand_field_row({}, 0, {buffer.as<std::uint32_t>(), static_cast<std::size_t>(count)});
  return buffer;
}

/// Degree, rank, columns of the table, blocks of a tile. A table of few columns stays in the
/// caches: what arithmetic alone takes.
void lattice_tiles(benchmark::State& state) {
  const LatticeParameters ring{static_cast<int>(state.range(0)), static_cast<int>(state.range(1))};
  const std::int64_t columns = state.range(2);
  const std::int64_t blocks = state.range(3);
  PolynomialTable table(BufferPool(), ring, columns);
  const auto row = random_values(columns);
  for (int r = 0; r < ring.rows(); ++r) table.set_rows(r, 1, row.data());
  const auto secret = random_values(ring.rows());
  const std::int64_t stride = blocks * kLatticeBlock;
  std::vector<std::uint32_t> tile(static_cast<std::size_t>(ring.degree * stride));
  std::int64_t block = 0;
  for (auto _ : state) {
    lattice_tile(table, block, blocks, secret, tile.data(), stride);
    benchmark::ClobberMemory();
    block = block + 2 * blocks <= table.blocks() ? block + blocks : 0;
  }
  const auto tile_columns = static_cast<double>(state.iterations() * stride);
  state.SetItemsProcessed(state.iterations() * stride * ring.degree);
  state.SetBytesProcessed(state.iterations() * stride * ring.rows() * 4);
  state.counters["per_column"] =
      benchmark::Counter(tile_columns, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(lattice_tiles)
    ->ArgNames({"degree", "rank", "columns", "blocks"})
    ->Args({512, 3, 64, 4})
    ->Args({512, 3, 1024, 4})
    ->Args({512, 3, 16384, 4})
    ->Args({512, 3, 16384, 8})
    ->Args({1024, 2, 64, 4})
    ->Args({1024, 2, 16384, 4})
    ->Args({256, 6, 64, 4})
    ->Args({2048, 1, 64, 4})
    ->Args({4096, 1, 64, 4});

/// What memory allows: a copy of 64 MiB, bytes read and written.
void copy(benchmark::State& state) {
  const Buffer from = tensor(1 << 24);
  const Buffer to = tensor(1 << 24);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(from.size()) * 2);
}
BENCHMARK(copy);

constexpr std::int64_t kRows = 512;

/// A tensor's input rows, column tile by column tile, as the pads of a tile come: `columns` in all,
/// `width` of a tile, checks. Bytes: x and out; the pad's tile stays in the cache.
void mask_tiles(benchmark::State& state) {
  const std::int64_t columns = state.range(0);
  const std::int64_t width = state.range(1);
  const Buffer x = tensor(kRows * columns);
  std::fill_n(x.as<float>(), kRows * columns, 0.7F);
  const std::vector<std::int8_t> noise(static_cast<std::size_t>(kRows * width), -3);
  const auto pad = random_values(kRows * width);
  const auto key = random_values(columns);
  const std::vector<RowScale> scales(kRows, {1000, 0.001F});
  const Buffer out = tensor(kRows * columns);
  std::vector<std::uint32_t> sums(kRows * kMaxChecks * kMaxShared);
  for (auto _ : state) {
    for (std::int64_t column = 0; column < columns; column += width) {
      MaskTile tile;
      tile.rows = kRows;
      tile.columns = width;
      tile.x = x.as<float>() + column;
      tile.scales = scales.data();
      tile.noise = noise.data();
      tile.pad = pad.data();
      tile.out = out.as<std::uint32_t>() + column;
      tile.x_stride = tile.out_stride = columns;
      tile.noise_stride = tile.pad_stride = width;
      tile.checks = static_cast<int>(state.range(2));
      for (int c = 0; c < tile.checks; ++c) {
        tile.keys[c] = key.data() + column;
        tile.sums[c] = sums.data() + c * kRows;
      }
      mask_tile(tile);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRows * columns);
  state.SetBytesProcessed(state.iterations() * kRows * columns * 8);
}
BENCHMARK(mask_tiles)
    ->ArgNames({"columns", "width", "checks"})
    ->Args({2048, 64, 3})
    ->Args({2048, 256, 3})
    ->Args({2048, 128, 0})
    ->Args({2048, 128, 1})
    ->Args({2048, 128, 3})
    ->Args({8192, 128, 1})
    ->Args({8192, 256, 1});

/// A tensor's output rows likewise; `bits` of an element as received.
void unmask_tiles(benchmark::State& state) {
  const std::int64_t columns = state.range(0);
  const std::int64_t width = state.range(1);
  const bool narrow = state.range(3) == 16;
  const Buffer y = tensor(kRows * columns);
  const auto pad = random_values(kRows * width);
  const auto key = random_values(columns);
  const std::vector<RowScale> scales(kRows, {1000, 0.001F});
  const std::vector<float> weight_scales(static_cast<std::size_t>(columns), 0.001F);
  const Buffer out = tensor(kRows * columns);
  std::vector<std::uint32_t> sums(kRows * kMaxChecks * kMaxShared);
  for (auto _ : state) {
    for (std::int64_t column = 0; column < columns; column += width) {
      UnmaskTile tile;
      tile.rows = kRows;
      tile.columns = width;
      tile.y = y.data() + column * (narrow ? 2 : 4);
      tile.y_dtype = narrow ? DType::kRing16 : DType::kRing;
      tile.pad = pad.data();
      tile.scales = scales.data();
      tile.weight_scales = weight_scales.data() + column;
      tile.out = out.as<float>() + column;
      tile.y_stride = tile.out_stride = columns;
      tile.pad_stride = width;
      tile.checks = static_cast<int>(state.range(2));
      for (int c = 0; c < tile.checks; ++c) {
        tile.keys[c] = key.data() + column;
        tile.sums[c] = sums.data() + c * kRows;
      }
      unmask_tile(tile);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRows * columns);
  state.SetBytesProcessed(state.iterations() * kRows * columns * (narrow ? 6 : 8));
}
BENCHMARK(unmask_tiles)
    ->ArgNames({"columns", "width", "checks", "bits"})
    ->Args({2048, 64, 1, 32})
    ->Args({2048, 128, 0, 32})
    ->Args({2048, 128, 1, 32})
    ->Args({2048, 128, 2, 32})
    ->Args({2048, 128, 1, 16})
    ->Args({8192, 128, 1, 32})
    ->Args({8192, 256, 1, 32});

void scales_of_rows(benchmark::State& state) {
  const std::int64_t columns = state.range(0);
  const std::vector<float> x(static_cast<std::size_t>(kRows * columns), 0.7F);
  std::vector<RowScale> scales(kRows);
  for (auto _ : state) {
    benchmark::DoNotOptimize(row_scales(x.data(), kRows, columns, 1600, 200, 0, false, scales));
  }
  state.SetItemsProcessed(state.iterations() * kRows * columns);
  state.SetBytesProcessed(state.iterations() * kRows * columns * 4);
}
BENCHMARK(scales_of_rows)->ArgName("columns")->Arg(2048)->Arg(8192);

/// W·v, row by row: what a runner does once for all weights.
void key_products(benchmark::State& state) {
  const std::int64_t columns = state.range(0);
  const std::vector<std::int8_t> weights(static_cast<std::size_t>(kRows * columns), -77);
  std::vector<std::uint32_t> sums(static_cast<std::size_t>(columns));
  for (auto _ : state) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      field_axpy(&weights[static_cast<std::size_t>(r * columns)], 123456789, columns, sums.data());
    }
  }
  state.SetItemsProcessed(state.iterations() * kRows * columns);
  state.SetBytesProcessed(state.iterations() * kRows * columns);
}
BENCHMARK(key_products)->ArgName("columns")->Arg(2048);

}  // namespace
}  // namespace airlock
