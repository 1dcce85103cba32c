// Exact products beside float ones of the same shapes, those of the 1B shape: rows, in, out. And
// what preparing their weights takes.
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/kernels/gemm.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/math/field.h"

namespace airlock {
namespace {

struct Sample {
  explicit Sample(const benchmark::State& state)
      : rows(state.range(0)),
        in(state.range(1)),
        outputs(state.range(2)),
        weight(static_cast<std::size_t>(in * outputs)),
        x(static_cast<std::size_t>(rows * in)),
        out(static_cast<std::size_t>(rows * outputs)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& value : weight) value = normal(random);
  }
  [[nodiscard]] ConstTensor tensor() const {
    return {{DType::kF32, {outputs, in}}, reinterpret_cast<const std::byte*>(weight.data())};
  }
  std::int64_t rows;
  std::int64_t in;
  std::int64_t outputs;
  std::vector<float> weight;
  std::vector<std::uint32_t> x;
  std::vector<std::uint32_t> out;
};

void report(benchmark::State& state, const Sample& sample) {
  const auto products = static_cast<double>(sample.rows * sample.in * sample.outputs);
  state.counters["GMAC/s"] =
      benchmark::Counter(products * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void ring(benchmark::State& state, DType dtype) {
  Sample sample(state);
  const BufferPool pool;
  const RingMatrix packed = pack_ring_matrix(pool, sample.tensor());
  std::mt19937 random(2);
  for (std::uint32_t& value : sample.x) value = static_cast<std::uint32_t>(random()) % 2130706433U;
  state.SetLabel(ring_isa());
  for ([[maybe_unused]] auto _ : state) {
    ring_multiply(pool, packed, dtype, sample.x.data(), sample.rows, DType::kRing,
                  sample.out.data());
  }
  report(state, sample);
}
void BM_ring(benchmark::State& state) {
  ring(state, DType::kRing);
}
void BM_int16(benchmark::State& state) {
  ring(state, DType::kI16);
}

void product(benchmark::State& state, DType dtype) {
  Sample sample(state);
  const BufferPool pool;
  Gemm gemm(pool);
  const PackedMatrix packed = gemm.pack(sample.tensor(), dtype);
  state.SetLabel(onednn_isa());
  for ([[maybe_unused]] auto _ : state) {
    gemm.multiply(sample.x.data(), sample.rows, packed, DType::kF32, sample.out.data());
  }
  report(state, sample);
}
void BM_f32(benchmark::State& state) {
  product(state, DType::kF32);
}
void BM_bf16(benchmark::State& state) {
  if (!onednn_has_bf16()) return state.SkipWithError("no bf16 instructions here");
  product(state, DType::kBF16);
}

/// Gigabytes of weights a second, as the checkpoint stores them.
void BM_pack(benchmark::State& state) {
  const Sample sample(state);
  const BufferPool pool;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(pack_ring_matrix(pool, sample.tensor()));
  }
  state.SetBytesProcessed(state.iterations() * sample.tensor().bytes());
}

void shapes(benchmark::internal::Benchmark* of) {
  for (const std::int64_t rows : {1, 16, 1024}) {
    of->Args({rows, 2048, 8192})->Args({rows, 8192, 2048})->Args({rows, 2048, 2048});
  }
  of->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(BM_ring)->Apply(shapes);
BENCHMARK(BM_int16)->Apply(shapes);
BENCHMARK(BM_f32)->Apply(shapes);
BENCHMARK(BM_bf16)->Apply(shapes);
BENCHMARK(BM_pack)->Args({1, 2048, 8192})->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace airlock

BENCHMARK_MAIN();
