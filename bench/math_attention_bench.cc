// Flash attention against oneDNN's GEMM rate and attention composed of oneDNN's products and this
// project's softmax. FLOPs are those of the causal half alone.
#include <cmath>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/math/convert.h"
#include "airlock/math/flash_attention.h"
#include "airlock/math/flash_kernel.h"
#include "airlock/math/softmax.h"

namespace airlock {
namespace {

constexpr std::int64_t kHeads = 32;
constexpr std::int64_t kKvHeads = 8;

/// Random [count] elements of a dtype.
std::vector<std::byte> random_elements(std::int64_t count, DType dtype) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> wide(static_cast<std::size_t>(count));
  for (float& value : wide) value = normal(engine);
  std::vector<std::byte> bytes(wide.size() * dtype_size(dtype));
  convert_elements(DType::kF32, wide.data(), dtype, bytes.data(), count);
  return bytes;
}

/// 4 * head_dim operations for each pair of a query and a key that it attends to.
double operations(std::int64_t tokens, std::int64_t position, std::int64_t head_dim) {
  const double pairs = static_cast<double>(tokens) * static_cast<double>(position) +
                       0.5 * static_cast<double>(tokens) * static_cast<double>(tokens + 1);
  return 4.0 * static_cast<double>(head_dim) * pairs * kHeads;
}

void report(benchmark::State& state, double operations_per_run) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(operations_per_run * static_cast<double>(state.iterations()) / 1e9,
                         benchmark::Counter::kIsRate);
}

/// Token-major q and out, head-major caches k and v.
struct Problem {
  std::vector<std::byte> q, k, v, out;
  FlashAttentionArgs args;

  Problem(DType dtype, std::int64_t tokens, std::int64_t position, std::int64_t head_dim) {
    const std::int64_t context = tokens + position;
    q = random_elements(tokens * kHeads * head_dim, dtype);
    k = random_elements(context * kKvHeads * head_dim, dtype);
    v = random_elements(context * kKvHeads * head_dim, dtype);
    out.resize(q.size());
    args = {.dtype = dtype,
            .out_dtype = dtype,
            .q = {q.data(), kHeads * head_dim, head_dim},
            .k = {k.data(), head_dim, context * head_dim},
            .v = {v.data(), head_dim, context * head_dim},
            .out = {out.data(), kHeads * head_dim, head_dim},
            .tokens = tokens,
            .position = position,
            .heads = kHeads,
            .kv_heads = kKvHeads,
            .head_dim = head_dim,
            .scale = 1 / std::sqrt(static_cast<float>(head_dim))};
  }
};

void flash(benchmark::State& state, DType dtype, FlashPath path) {
  const FlashKernel* kernel = flash_kernel(dtype, path);
  if (kernel == nullptr) return state.SkipWithError("this processor lacks the instructions");
  const Problem problem(dtype, state.range(0), state.range(1), state.range(2));
  const BufferPool pool;
  for (auto _ : state) flash_attention_on(*kernel, problem.args, pool);
  report(state, operations(state.range(0), state.range(1), state.range(2)));
  const double cache = 2.0 * static_cast<double>(problem.k.size());
  state.counters["cache_bytes/s"] = benchmark::Counter(
      cache * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::memory::data_type dnnl_type(DType dtype) {
  return dtype == DType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

/// What the processor can do: a square product with packed weights.
void gemm(benchmark::State& state, DType dtype) {
  using dnnl::memory;
  constexpr std::int64_t kSize = 2048;
  const std::int64_t rows = state.range(0);
  const memory::desc a({rows, kSize}, dnnl_type(dtype), memory::format_tag::ab);
  const memory::desc b({kSize, kSize}, dnnl_type(dtype), memory::format_tag::any);
  const memory::desc c({rows, kSize}, dnnl_type(dtype), memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description({a, b, c}, engine());
  const dnnl::matmul product(description);
  memory x(a, engine());
  memory w(description.weights_desc(), engine());
  memory y(c, engine());
  // Untouched pages are all one zero page: products of them look twice as fast. The packed layout
  // does not matter for random numbers.
  for (memory* m : {&x, &w}) {
    const auto bytes = m->get_desc().get_size();
    const auto random =
        random_elements(static_cast<std::int64_t>(bytes / dtype_size(dtype)), dtype);
    std::memcpy(m->get_data_handle(), random.data(), random.size());
  }
  dnnl::stream stream(engine());
  for (auto _ : state) {
    product.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
    stream.wait();
  }
  report(state, 2.0 * static_cast<double>(rows) * kSize * kSize);
}

/// Attention as plan `fused` composes it: batched Q K^T, softmax, P V, everything materialised,
/// K and V repeated to every head. Both halves of the square are computed; one is counted.
void composed(benchmark::State& state, DType dtype) {
  using dnnl::memory;
  const std::int64_t tokens = state.range(0);
  const std::int64_t head_dim = state.range(2);
  const memory::data_type type = dnnl_type(dtype);
  const memory::desc rows({kHeads, tokens, head_dim}, type, memory::format_tag::abc);
  const memory::desc keys({kHeads, head_dim, tokens}, type, memory::format_tag::acb);
  const memory::desc scores({kHeads, tokens, tokens}, memory::data_type::f32,
                            memory::format_tag::abc);
  const memory::desc weights({kHeads, tokens, tokens}, type, memory::format_tag::abc);
  const dnnl::matmul score(dnnl::matmul::primitive_desc({rows, keys, scores}, engine()));
  const dnnl::matmul mix(dnnl::matmul::primitive_desc({weights, rows, rows}, engine()));
  const auto random = random_elements(kHeads * tokens * head_dim, dtype);
  memory q(rows, engine(), const_cast<std::byte*>(random.data()));
  memory k(keys, engine(), const_cast<std::byte*>(random.data()));
  memory v(rows, engine(), const_cast<std::byte*>(random.data()));
  memory s(scores, engine());
  memory p(weights, engine());
  memory out(rows, engine());
  dnnl::stream stream(engine());
  const Shape shape{kHeads, tokens, tokens};
  auto* raw = static_cast<float*>(s.get_data_handle());
  auto* narrow = static_cast<std::byte*>(p.get_data_handle());
  for (auto _ : state) {
    score.execute(stream, {{DNNL_ARG_SRC, q}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, s}});
    stream.wait();
    causal_softmax({{DType::kF32, shape}, reinterpret_cast<std::byte*>(raw)}, 0,
                   1 / std::sqrt(static_cast<float>(head_dim)));
    if (dtype != DType::kF32) {
      convert({{DType::kF32, shape}, reinterpret_cast<std::byte*>(raw)}, {{dtype, shape}, narrow});
    }
    mix.execute(
        stream,
        {{DNNL_ARG_SRC, dtype == DType::kF32 ? s : p}, {DNNL_ARG_WEIGHTS, v}, {DNNL_ARG_DST, out}});
    stream.wait();
  }
  report(state, operations(tokens, 0, head_dim));
}

void prefill_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "position", "head_dim"})
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
  for (const std::int64_t head_dim : {64, 128}) {
    for (const std::int64_t tokens : {1024, 4096}) b->Args({tokens, 0, head_dim});
  }
}
void all_shapes(benchmark::internal::Benchmark* b) {
  prefill_shapes(b);
  b->Args({1, 1023, 64})->Args({1, 16383, 64});
}
void gemm_shapes(benchmark::internal::Benchmark* b) {
  b->ArgName("tokens")->Arg(1024)->UseRealTime()->MeasureProcessCPUTime()->Unit(
      benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(gemm, f32, DType::kF32)->Apply(gemm_shapes);
BENCHMARK_CAPTURE(flash, f32, DType::kF32, FlashPath::kBest)->Apply(all_shapes);
BENCHMARK_CAPTURE(composed, f32, DType::kF32)->Apply(prefill_shapes);
BENCHMARK_CAPTURE(gemm, bf16, DType::kBF16)->Apply(gemm_shapes);
BENCHMARK_CAPTURE(flash, bf16_amx, DType::kBF16, FlashPath::kAmx)->Apply(all_shapes);
BENCHMARK_CAPTURE(flash, bf16_avx512, DType::kBF16, FlashPath::kAvx512Bf16)->Apply(all_shapes);
BENCHMARK_CAPTURE(flash, bf16_portable, DType::kBF16, FlashPath::kPortable)->Apply(all_shapes);
BENCHMARK_CAPTURE(composed, bf16, DType::kBF16)->Apply(prefill_shapes);

}  // namespace
}  // namespace airlock
