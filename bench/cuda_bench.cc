// A GPU's products, attention and copies at the shapes of LLaMA 3.2-1B: products as the worker runs
// them against the best that cuBLASLt proposes, exact ones against bf16's, attention by our kernel,
// the worker's copies against one pinned copy. Medians, of kernels by the GPU's own clock.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/error.h"
#include "airlock/link/shared_memory.h"
#include "airlock/worker/cuda/check.h"
#include "airlock/worker/cuda/gemm.h"
#include "airlock/worker/cuda/gpu.h"
#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/ring_layout.h"
#include "airlock/worker/cuda/row_chunks.h"
#include "airlock/worker/cuda/stream.h"
#include "airlock/worker/cuda/transfers.h"

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
  for (const DType dtype : {DType::kBF16, DType::kF32, DType::kI8}) {
    for (const auto& [name, in, out] : {Shape{"q,k,v", 2048, 3072}, Shape{"o", 2048, 2048},
                                        Shape{"gate,up", 2048, 16384}, Shape{"down", 8192, 2048}}) {
      constexpr std::int64_t kTokens = 1024;
      const auto element = static_cast<std::int64_t>(dtype_size(dtype));
      const DeviceBuffer x = zeros(budget, kTokens * in * element);
      const DeviceBuffer w = zeros(budget, out * in * element);
      const std::int64_t sum = dtype == DType::kI8 ? sizeof(std::int32_t) : element;
      const DeviceBuffer y = zeros(budget, kTokens * out * sum);
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

/// Exact products in pieces as the worker cuts them, beside the bf16 product of all rows.
void bench_ring(MemoryBudget& budget, const Stream& stream) {
  struct Shape {
    const char* name;
    std::int64_t in, out;
  };
  constexpr std::int64_t kTokens = 1024;
  Gemm gemm(budget, false);
  fmt::print("\nexact product, 1024 rows  x      digits ms  int8 ms  mod p ms  of bf16's time\n");
  for (const auto& [name, in, out] : {Shape{"q,k,v", 2048, 3072}, Shape{"o", 2048, 2048},
                                      Shape{"gate,up", 2048, 16384}, Shape{"down", 8192, 2048}}) {
    const DeviceBuffer x = zeros(budget, kTokens * in * 4);
    const DeviceBuffer w = zeros(budget, out * in * 2);
    const DeviceBuffer y = zeros(budget, kTokens * out * 4);
    const DeviceBuffer weight_sums = zeros(budget, out * 4);
    const double bf16 = milliseconds(stream, [&] {
      gemm.multiply(Product::linear(kTokens, in, out, DType::kBF16, DType::kBF16), x.data(),
                    w.data(), y.data(), stream.get());
    });
    for (const DType dtype : {DType::kRing, DType::kI16}) {
      const auto element = static_cast<std::int64_t>(dtype_size(dtype));
      const RowChunks chunks(kTokens, element * in + 4 * out, ring_grain(dtype));
      const RingShape whole(dtype, chunks[0].count, in, out);
      const DeviceBuffer digits = zeros(budget, whole.digit_bytes());
      const DeviceBuffer sums = zeros(budget, whole.sum_count() * 4);
      const auto each_piece = [&](const auto& work) {
        return milliseconds(stream, [&] {
          for (std::int64_t i = 0; i < chunks.count(); ++i) work(chunks[i]);
        });
      };
      const double splitting = each_piece([&](RowChunk rows) {
        launch_digits({x.data() + rows.begin * in * element,
                       reinterpret_cast<std::int8_t*>(digits.data()), whole.stride, rows.count, in},
                      dtype, stream.get());
      });
      const double multiplying = each_piece([&](RowChunk rows) {
        const RingShape shape(dtype, rows.count, in, out);
        gemm.multiply(
            Product::linear(shape.rows, shape.stride, shape.columns, DType::kI8, DType::kI8),
            digits.data(), w.data(), sums.data(), stream.get());
      });
      const double joining = each_piece([&](RowChunk rows) {
        launch_recombine({reinterpret_cast<const std::int32_t*>(sums.data()), whole.columns,
                          reinterpret_cast<const std::int32_t*>(weight_sums.data()),
                          y.data() + rows.begin * out * 4, rows.count, out},
                         dtype, DType::kRing, stream.get());
      });
      fmt::print("{:<25} {:<6} {:>8.3f} {:>8.3f} {:>9.3f} {:>12.1f}\n", name, dtype_name(dtype),
                 splitting, multiplying, joining, (splitting + multiplying + joining) / bf16);
    }
  }
}

void bench_attention(MemoryBudget& budget, const Stream& stream) {
  fmt::print("\nattention, 32/8 heads     dtype      ms  TFLOP/s (causal half)\n");
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
      const double flops = 2.0 * 32 * head_dim * static_cast<double>(tokens) * tokens;
      const double own = milliseconds(
          stream, [&] { launch_mma_attention(args, DType::kBF16, DType::kBF16, stream.get()); });
      fmt::print("{:<4} tokens, head_dim {:<4} bf16   {:>6.3f} {:>8.1f}\n", tokens, head_dim, own,
                 flops / own * 1e-9);
    }
  }
}

/// GB/s of the worker's own copies of `bytes`, all of it at once, by the host's clock.
template <typename Copy>
double rate(std::int64_t bytes, const Copy& copy) {
  std::vector<double> seconds;
  for (int run = -2; run < 9; ++run) {
    const auto began = std::chrono::steady_clock::now();
    copy();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (run >= 0) seconds.push_back(took.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 4, seconds.end());
  return static_cast<double>(bytes) / seconds[4] * 1e-9;
}

void bench_copies(const Gpu& gpu, MemoryBudget& budget, const Stream& stream) {
  constexpr std::int64_t kBytes = 256 * kMiB;
  const DeviceBuffer device = zeros(budget, kBytes);
  HostMemory host(gpu);
  Transfers transfers(host, stream);
  const Buffer pinned = host.pool().acquire(kBytes);
  const SharedMemory shared = SharedMemory::create(kBytes);
  host.add(shared.bytes());
  const Buffer pageable = BufferPool().acquire(kBytes);
  std::memset(pageable.data(), 1, kBytes);
  struct Kind {
    const char* name;
    std::byte* memory;
  };
  fmt::print("\ncopies of 256 MiB               GB/s  of one pinned copy\n");
  for (const bool in : {true, false}) {
    const double best = rate(kBytes, [&] {
      check(in ? cudaMemcpyAsync(device.data(), pinned.data(), kBytes, cudaMemcpyHostToDevice,
                                 stream.get())
               : cudaMemcpyAsync(pinned.data(), device.data(), kBytes, cudaMemcpyDeviceToHost,
                                 stream.get()),
            "cudaMemcpyAsync");
      stream.wait();
    });
    fmt::print("{} one pinned copy  {:>8.1f}\n", in ? "to the GPU  " : "from the GPU", best);
    for (const auto& [name, memory] :
         {Kind{"pinned pool", pinned.data()}, Kind{"shared memory", shared.bytes().data()},
          Kind{"other memory", pageable.data()}}) {
      const double own = rate(kBytes, [&] {
        constexpr std::int64_t kPiece = RowChunks::kBytes;
        for (std::int64_t at = 0; at < kBytes; at += kPiece) {
          if (in) {
            transfers.in(memory + at, device.data() + at, kPiece);
          } else {
            transfers.out(device.data() + at, memory + at, kPiece);
          }
        }
        transfers.finish();
      });
      fmt::print("{} {:<16} {:>8.1f} {:>6.0f} %\n", in ? "to the GPU  " : "from the GPU", name, own,
                 100 * own / best);
    }
  }
  host.remove(shared.bytes());
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
    airlock::cuda::bench_ring(budget, stream);
    airlock::cuda::bench_attention(budget, stream);
    airlock::cuda::bench_copies(gpu, budget, stream);
  } catch (const airlock::Error& error) {
    fmt::print(stderr, "cuda_bench: {}\n", error.what());
    return 1;
  }
}
