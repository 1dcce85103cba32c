// Every elementwise kernel in bytes/s, next to memcpy of as many bytes (both directions summed).
// Shapes are those of LLaMA 3.2-1B at 1024 tokens.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/threads.h"
#include "airlock/math/activation.h"
#include "airlock/math/convert.h"
#include "airlock/math/elementwise.h"
#include "airlock/math/heads.h"
#include "airlock/math/rms_norm.h"
#include "airlock/math/rope.h"
#include "airlock/math/softmax.h"

namespace airlock {
namespace {

constexpr std::int64_t kTokens = 1024;
constexpr std::int64_t kHidden = 2048;
constexpr std::int64_t kFfn = 8192;
constexpr std::int64_t kHeads = 32;
constexpr std::int64_t kKvHeads = 8;
constexpr std::int64_t kHeadDim = 64;

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 2654435761U % 8191) / 2048.0F - 2;
  }
  return values;
}

/// `bytes`: read and written by one run.
void report(benchmark::State& state, std::int64_t bytes) {
  state.SetBytesProcessed(state.iterations() * bytes);
}

/// The measure: reads and writes that add up to `state.range(0)` MiB, on every thread.
void copy(benchmark::State& state) {
  const std::int64_t bytes = state.range(0) << 19;
  const std::vector<float> from = numbers(bytes / 4);
  std::vector<float> to(from.size());
  for (auto _ : state) {
    parallel_for(bytes, 1 << 18, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(reinterpret_cast<char*>(to.data()) + begin,
                  reinterpret_cast<const char*>(from.data()) + begin,
                  static_cast<std::size_t>(end - begin));
    });
    benchmark::ClobberMemory();
  }
  report(state, 2 * bytes);
}

void convert_pair(benchmark::State& state, DType from, DType to) {
  const Shape shape{kTokens, kFfn};
  const TensorSpec wide{DType::kF32, shape};
  const TensorSpec source{from, shape};
  const TensorSpec target{to, shape};
  const std::vector<float> values = numbers(shape.elements());
  std::vector<std::byte> in(static_cast<std::size_t>(source.bytes()));
  std::vector<std::byte> out(static_cast<std::size_t>(target.bytes()));
  convert({wide, reinterpret_cast<const std::byte*>(values.data())}, {source, in.data()});
  for (auto _ : state) convert({source, in.data()}, {target, out.data()});
  report(state, source.bytes() + target.bytes());
}

void norm(benchmark::State& state) {
  const std::vector<float> x = numbers(kTokens * kHidden);
  const std::vector<float> weight = numbers(kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) rms_norm(x.data(), weight.data(), 1e-5F, kTokens, kHidden, out.data());
  report(state, 2 * kTokens * kHidden * 4);
}

void rope_in_place(benchmark::State& state) {
  const RopeTable table(kHeadDim, 500000);
  std::vector<float> x = numbers(kTokens * kHidden);
  for (auto _ : state) table.apply(x.data(), kTokens, kHeads, 0);
  report(state, 2 * kTokens * kHidden * 4);
}

void rope_to_heads(benchmark::State& state) {
  const RopeTable table(kHeadDim, 500000);
  const std::vector<float> x = numbers(kTokens * kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) {
    table.apply_to_heads(x.data(), kTokens, kHeads, 0, out.data(), kTokens * kHeadDim, 0);
  }
  report(state, 2 * kTokens * kHidden * 4);
}

void split(benchmark::State& state) {
  const std::vector<float> x = numbers(kTokens * kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) {
    split_heads(x.data(), kTokens, kHeads, kHeadDim, out.data(), kTokens * kHeadDim, 0);
  }
  report(state, 2 * kTokens * kHidden * 4);
}

void merge(benchmark::State& state) {
  const std::vector<float> x = numbers(kTokens * kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) merge_heads(x.data(), kHeads, kTokens, kHeadDim, out.data());
  report(state, 2 * kTokens * kHidden * 4);
}

void repeat(benchmark::State& state) {
  const std::int64_t head = kTokens * kHeadDim;
  const std::vector<float> x = numbers(kKvHeads * head);
  std::vector<float> out(static_cast<std::size_t>(kHeads * head));
  for (auto _ : state) {
    repeat_heads(DType::kF32, x.data(), kKvHeads, head, kHeads / kKvHeads, kTokens, kHeadDim,
                 out.data());
  }
  report(state, (kKvHeads + kHeads) * head * 4);
}

void softmax(benchmark::State& state) {
  // Unscaled weights put back in as scores stay small: no run differs from the first in kind.
  std::vector<float> scores = numbers(kHeads * kTokens * kTokens);
  const Tensor tensor{{DType::kF32, {kHeads, kTokens, kTokens}},
                      reinterpret_cast<std::byte*>(scores.data())};
  for (auto _ : state) causal_softmax(tensor, 0, 0.125F);
  // The lower half is read and written, the upper written.
  report(state, kHeads * kTokens * kTokens * 6);
}

void silu(benchmark::State& state, DType dtype) {
  const TensorSpec spec{dtype, {kTokens, kFfn}};
  const std::vector<float> wide = numbers(kTokens * kFfn);
  std::vector<std::byte> gate(static_cast<std::size_t>(spec.bytes()));
  convert_elements(DType::kF32, wide.data(), dtype, gate.data(), kTokens * kFfn);
  const std::vector<std::byte> up = gate;
  std::vector<std::byte> out(gate.size());
  for (auto _ : state) silu_mul({spec, gate.data()}, {spec, up.data()}, {spec, out.data()});
  report(state, 3 * spec.bytes());
}

void residual(benchmark::State& state) {
  std::vector<float> x = numbers(kTokens * kHidden);
  const std::vector<float> y = numbers(kTokens * kHidden);
  for (auto _ : state) add(x.data(), y.data(), kTokens * kHidden);
  report(state, 3 * kTokens * kHidden * 4);
}

void settle(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK(copy)->ArgName("MiB")->Arg(16)->Arg(96)->Arg(192)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, f32_to_bf16, DType::kF32, DType::kBF16)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, bf16_to_f32, DType::kBF16, DType::kF32)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, f32_to_f16, DType::kF32, DType::kF16)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, f16_to_f32, DType::kF16, DType::kF32)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, f32_to_int8, DType::kF32, DType::kI8)->Apply(settle);
BENCHMARK_CAPTURE(convert_pair, int8_to_f32, DType::kI8, DType::kF32)->Apply(settle);
BENCHMARK(norm)->Apply(settle);
BENCHMARK(rope_in_place)->Apply(settle);
BENCHMARK(rope_to_heads)->Apply(settle);
BENCHMARK(split)->Apply(settle);
BENCHMARK(merge)->Apply(settle);
BENCHMARK(repeat)->Apply(settle);
BENCHMARK(softmax)->Apply(settle);
BENCHMARK_CAPTURE(silu, f32, DType::kF32)->Apply(settle);
BENCHMARK_CAPTURE(silu, bf16, DType::kBF16)->Apply(settle);
BENCHMARK(residual)->Apply(settle);

}  // namespace
}  // namespace airlock
