// A GPU's products, attention and copies at the shapes of LLaMA 3.2-1B: products as the worker runs
// them against the best that cuBLASLt proposes, copies of the worker's pieces against one large
// pinned copy. Times are medians by the GPU's own clock.

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/check.h"
#include "airlock/worker/cuda/gemm.h"
#include "airlock/worker/cuda/gpu.h"
#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

/// Median milliseconds of `work` on `stream`, over 20 runs after 3 that warm up.
template <typename Work>
double milliseconds(const Stream& stream, const Work& work) {
  struct Clock {
    Clock() { check(cudaEventCreate(&event), "cudaEventCreate"); }
    ~Clock() { cudaEventDestroy(event); }
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;
    cudaEvent_t event = nullptr;
  };
  const Clock begin;
  const Clock end;
  std::vector<float> times;
  for (int run = -3; run < 20; ++run) {
    check(cudaEventRecord(begin.event, stream.get()), "cudaEventRecord");
    work();
    check(cudaEventRecord(end.event, stream.get()), "cudaEventRecord");
    check(cudaEventSynchronize(end.event), "cudaEventSynchronize");
    float time = 0;
    check(cudaEventElapsedTime(&time, begin.event, end.event), "cudaEventElapsedTime");
    if (run >= 0) times.push_back(time);
  }
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return static_cast<double>(times[10]);
}

/// Device memory full of zeros.
DeviceBuffer zeros(MemoryBudget& budget, std::int64_t bytes) {
  DeviceBuffer buffer(budget, bytes);
  check(cudaMemset(buffer.data(), 0, static_cast<std::size_t>(bytes)), "cudaMemset");
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // streams do not wait for it
  return buffer;
}

void bench_products(MemoryBudget& budget, const Stream& stream) {
  struct Shape {
    const char* name;
    std::int64_t in, out;
  };
  fmt::print("product, 1024 tokens      dtype   ms      TFLOP/s  best ms  of the best\n");
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (const auto& [name, in, out] : {Shape{"q,k,v", 2048, 3072}, Shape{"o", 2048, 2048},
                                        Shape{"gate,up", 2048, 16384}, Shape{"down", 8192, 2048}}) {
      constexpr std::int64_t kTokens = 1024;
      const auto element = static_cast<std::int64_t>(dtype_size(dtype));
      const DeviceBuffer x = zeros(budget, kTokens * in * element);
      const DeviceBuffer w = zeros(budget, out * in * element);
      const DeviceBuffer y = zeros(budget, kTokens * out * element);
      const Product product = Product::linear(kTokens, in, out, dtype, dtype);
      double own = 0;
      double best = 0;
      for (int rank = 0; rank <= Gemm::kMostRank; ++rank) {
        Gemm gemm(budget, false, rank);
        const double time = milliseconds(
            stream, [&] { gemm.multiply(product, x.data(), w.data(), y.data(), stream.get()); });
        if (rank == 0) own = best = time;
        best = std::min(best, time);
      }
      const double flops = 2.0 * static_cast<double>(kTokens * in * out);
      fmt::print("{:<25} {:<6} {:>7.3f} {:>8.1f} {:>8.3f} {:>7.0f} %\n", name, dtype_name(dtype),
                 own, flops / own * 1e-9, best, 100 * best / own);
    }
  }
}

void bench_attention(MemoryBudget& budget, const Stream& stream) {
  fmt::print("\nattention, 32/8 heads     dtype   ms      TFLOP/s (causal half)\n");
  for (const int head_dim : {64, 128}) {
    for (const int tokens : {1024, 4096}) {
      AttentionArgs args;
      args.tokens = tokens;
      args.heads = 32;
      args.kv_heads = 8;
      args.head_dim = head_dim;
      args.scale = 1 / std::sqrt(static_cast<float>(head_dim));
      args.head_stride = std::int64_t{tokens} * head_dim;
      const std::int64_t rows = std::int64_t{tokens} * 32 * head_dim * 2;
      const DeviceBuffer q = zeros(budget, rows);
      const DeviceBuffer keys = zeros(budget, rows / 4);
      const DeviceBuffer values = zeros(budget, rows / 4);
      const DeviceBuffer out = zeros(budget, rows);
      args.q = q.data();
      args.keys = keys.data();
      args.values = values.data();
      args.out = out.data();
      const double time = milliseconds(
          stream, [&] { launch_mma_attention(args, DType::kBF16, DType::kBF16, stream.get()); });
      const double flops = 2.0 * 32 * head_dim * static_cast<double>(tokens) * tokens;
      fmt::print("{:<4} tokens, head_dim {:<4} bf16   {:>7.3f} {:>8.1f}\n", tokens, head_dim, time,
                 flops / time * 1e-9);
    }
  }
}

void bench_copies(MemoryBudget& budget, const Stream& stream) {
  const std::int64_t bytes = 256 * kMiB;
  const PinnedBuffer host(static_cast<std::size_t>(bytes));
  const DeviceBuffer device = zeros(budget, bytes);
  fmt::print("\npinned copies of 256 MiB       GB/s\n");
  for (const bool in : {true, false}) {
    for (const std::int64_t piece : {bytes, 8 * kMiB, 4 * kMiB}) {
      const double time = milliseconds(stream, [&] {
        for (std::int64_t at = 0; at < bytes; at += piece) {
          void* const to = in ? device.data() + at : host.data() + at;
          const void* const from = in ? host.data() + at : device.data() + at;
          check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(piece),
                                in ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, stream.get()),
                "cudaMemcpyAsync");
        }
      });
      fmt::print("{} in pieces of {:>3} MiB {:>8.1f}\n", in ? "to the GPU  " : "from the GPU",
                 piece / kMiB, static_cast<double>(bytes) / time * 1e-6);
    }
  }
}

}  // namespace
}  // namespace airlock::cuda

int main() {
  try {
    const airlock::cuda::Gpu gpu(0);
    airlock::cuda::MemoryBudget budget(gpu.label(), gpu.free_bytes(), "use a larger GPU");
    const airlock::cuda::Stream stream;
    fmt::print("{}\n\n", gpu.name());
    airlock::cuda::bench_products(budget, stream);
    airlock::cuda::bench_attention(budget, stream);
    airlock::cuda::bench_copies(budget, stream);
  } catch (const airlock::Error& error) {
    fmt::print(stderr, "cuda_bench: {}\n", error.what());
    return 1;
  }
}
