// Exact products beside float ones of the same shapes: the 1B shape's gate and up, and its decode.
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/kernels/gemm.h"
#include "airlock/kernels/ring_kernel.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/math/field.h"

namespace airlock {
namespace {

constexpr std::int64_t kIn = 2048;
constexpr std::int64_t kOut = 8192;

struct Sample {
  explicit Sample(std::int64_t rows)
      : weight(static_cast<std::size_t>(kIn * kOut)),
        x(static_cast<std::size_t>(rows * kIn)),
        out(static_cast<std::size_t>(rows * kOut)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& value : weight) value = normal(random);
  }
  [[nodiscard]] ConstTensor tensor() const {
    return {{DType::kF32, {kOut, kIn}}, reinterpret_cast<const std::byte*>(weight.data())};
  }
  std::vector<float> weight;
  std::vector<std::uint32_t> x;
  std::vector<std::uint32_t> out;
};

void report(benchmark::State& state, std::int64_t rows) {
  state.counters["GMAC/s"] = benchmark::Counter(static_cast<double>(rows * kIn * kOut) * 1e-9,
                                                benchmark::Counter::kIsIterationInvariantRate);
}

void ring(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  Sample sample(rows);
  const BufferPool pool;
  const RingMatrix packed = pack_ring_matrix(pool, sample.tensor());
  for (std::uint32_t& value : sample.x) value = 0x12345678;
  state.SetLabel(ring_isa());
  for ([[maybe_unused]] auto _ : state) {
    ring_multiply(pool, packed, dtype, sample.x.data(), rows, DType::kRing, sample.out.data());
  }
  report(state, rows);
}
void BM_ring(benchmark::State& state) {
  ring(state, DType::kRing);
}
void BM_int16(benchmark::State& state) {
  ring(state, DType::kI16);
}

void product(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  Sample sample(rows);
  const BufferPool pool;
  Gemm gemm(pool);
  const PackedMatrix packed = gemm.pack(sample.tensor(), dtype);
  state.SetLabel(onednn_isa());
  for ([[maybe_unused]] auto _ : state) {
    gemm.multiply(sample.x.data(), rows, packed, DType::kF32, sample.out.data());
  }
  report(state, rows);
}
void BM_f32(benchmark::State& state) {
  product(state, DType::kF32);
}
void BM_bf16(benchmark::State& state) {
  if (!onednn_has_bf16()) return state.SkipWithError("no bf16 instructions here");
  product(state, DType::kBF16);
}

BENCHMARK(BM_ring)->Arg(1)->Arg(16)->Arg(1024)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_int16)->Arg(1)->Arg(16)->Arg(1024)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_f32)->Arg(1)->Arg(16)->Arg(1024)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_bf16)->Arg(1)->Arg(16)->Arg(1024)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace airlock

BENCHMARK_MAIN();
