// The ring plans' work on the runner, on one core, at shapes of LLaMA 3.2-1B: pads from lattice
// samples, and the pass over a call's input and over its output. items/s are values; bytes/s are of
// all memory that must be read or written, beside a copy's.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/math/field_random.h"
#include "airlock/shield/lattice.h"

namespace airlock {
namespace {

std::vector<std::uint32_t> random_values(std::int64_t count) {
  std::vector<std::uint32_t> values(static_cast<std::size_t>(count));
  expand_field_row({}, 0, values);
  return values;
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
    ->Args({512, 3, 16384, 4})
    ->Args({512, 3, 16384, 8})
    ->Args({1024, 2, 64, 4})
    ->Args({1024, 2, 16384, 4})
    ->Args({256, 6, 64, 4})
    ->Args({2048, 1, 64, 4})
    ->Args({4096, 1, 64, 4});

}  // namespace
}  // namespace airlock
