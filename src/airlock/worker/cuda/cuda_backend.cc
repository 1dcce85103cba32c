#include "airlock/worker/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include <cuda_runtime_api.h>

#include "airlock/core/error.h"
#include "airlock/math/rope.h"
#include "airlock/worker/cpu/embedding.h"
#include "airlock/worker/cuda/kernels/launch.h"
#include "airlock/worker/cuda/layer_layout.h"
#include "airlock/worker/cuda/operators.h"
#include "airlock/worker/cuda/ring_layout.h"

namespace airlock {
namespace cuda {
namespace {

/// Left to the driver, cuBLASLt's kernels and other programs.
constexpr std::int64_t kReserve = std::int64_t{512} << 20;
/// Of the fixed budget, beside weights and workspace.
constexpr std::int64_t kSmallThings = std::int64_t{1} << 20;

std::int64_t usable_bytes(const Gpu& gpu) {
  return std::max<std::int64_t>(gpu.free_bytes() - kReserve, 0);
}

DType checked_compute(DType dtype) {
  require(
      dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kI8,
      ErrorCode::kInvalidArgument, "compute dtype is {}, expected f32, bf16, f16 or int8",
      dtype_name(dtype));
  return dtype;
}

/// Of all but products with weights.
DType activation_dtype(DType compute) {
  return compute == DType::kI8 ? DType::kBF16 : compute;
}

/// Refuses, before anything is allocated, what cannot run.
MemoryNeeds checked_needs(const Gpu& gpu, const ModelConfig& config,
                          const CudaBackendOptions& options) {
  require(kernels_run_here(), ErrorCode::kUnsupported,
          "--device {}: this build has no code for {}, of compute capability {}: configure it with "
          "CMAKE_CUDA_ARCHITECTURES for that",
          gpu.label(), gpu.name(), gpu.capability());
  if (has_plain(options.products)) {
    const std::int64_t shared = PlainShared(static_cast<int>(config.head_dim)).total *
                                static_cast<std::int64_t>(sizeof(float));
    require(shared <= gpu.shared_bytes(), ErrorCode::kUnsupported,
            "{}: heads of {} elements need {} bytes of shared memory, a block has {}", gpu.label(),
            config.head_dim, shared, gpu.shared_bytes());
    check_sums(config, options.compute_dtype);
  }
  if (has_ring(options.products)) check_ring_terms(config);
  return memory_needs(config, options.products, options.compute_dtype, options.kv_bytes);
}

class CudaSequence final : public BackendSequence {
 public:
  CudaSequence(const Gpu& gpu, const ModelConfig& config, DType dtype, MemoryBudget& budget)
      : gpu_(gpu), cache_(config, dtype, budget) {}
  // Sequences end on threads of their sessions.
  ~CudaSequence() override { gpu_.try_make_current(); }

  [[nodiscard]] std::int64_t kv_bytes() const override { return cache_.rows().bytes(); }
  [[nodiscard]] std::int64_t kv_bytes_with(int layer, std::int64_t rows) const override {
    return cache_.rows().bytes_with(layer, rows);
  }
  [[nodiscard]] DeviceCache& cache() noexcept { return cache_; }

 private:
  const Gpu& gpu_;
  DeviceCache cache_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(WeightSource& source, const CudaBackendOptions& options)
      : source_(source),
        config_(source.config()),
        compute_(checked_compute(options.compute_dtype)),
        products_(options.products),
        gpu_(options.device),
        needs_(checked_needs(gpu_, config_, options)),
        calls_(gpu_.label() + ": memory for calls",
               bytes_for_calls(needs_, gpu_.label(), usable_bytes(gpu_), options.gpu_memory),
               "send fewer tokens at a time (--chunk) or raise --gpu-memory"),
        fixed_(gpu_.label() + ": memory for weights",
               needs_.weights + needs_.workspace + kSmallThings, "raise --gpu-memory"),
        caches_(gpu_.label() + ": memory for KV caches", needs_.caches, "raise --kv-budget"),
        host_(gpu_),
        transfers_(host_, stream_),
        graphs_(options.graphs),
        arena_(calls_),
        gemm_(fixed_, options.tf32) {
    upload(options);
    if (has_plain(products_)) allow_plain_attention(static_cast<int>(config_.head_dim));
    position_ = DeviceBuffer(fixed_, sizeof(std::int64_t));
    const std::vector<double> frequencies =
        rope_inverse_frequencies(config_.head_dim, config_.rope_theta, config_.rope_scaling);
    const auto bytes = static_cast<std::int64_t>(frequencies.size() * sizeof(double));
    frequencies_ = DeviceBuffer(fixed_, bytes);
    // On the kernels' own stream, which does not wait for the default one.
    check(cudaMemcpyAsync(frequencies_.data(), frequencies.data(), static_cast<std::size_t>(bytes),
                          cudaMemcpyHostToDevice, stream_.get()),
          "cudaMemcpyAsync");
    stream_.wait();
  }
  ~CudaBackend() override { gpu_.try_make_current(); }

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] DType compute_dtype() const override { return compute_; }
  [[nodiscard]] ProductKinds products() const override { return products_; }
  /// A GPU multiplies fewer rows than this well below its rate, and has done these in milliseconds.
  [[nodiscard]] std::int64_t rows_of_a_turn() const noexcept override { return 2048; }
  [[nodiscard]] std::int64_t weight_bytes() const override {
    return (weights_ ? weights_->bytes() : 0) + (ring_ ? ring_->bytes() : 0);
  }
  [[nodiscard]] std::string description() const override {
    std::string text = fmt::format("{} {}", gpu_.label(), gpu_.name());
    if (has_plain(products_)) {
      text += fmt::format(", {}{}", dtype_name(compute_),
                          compute_ == DType::kI8 ? " (attention in bf16)" : "");
    }
    if (has_ring(products_)) text += ", ring by int8";
    return text;
  }

  [[nodiscard]] std::unique_ptr<BackendSequence> open_sequence() override {
    return std::make_unique<CudaSequence>(gpu_, config_, activation_dtype(compute_), caches_);
  }

  [[nodiscard]] BufferPool host_memory() override { return host_.pool(); }
  void memory_shared(std::span<std::byte> memory) override { host_.add(memory); }
  void memory_gone(std::span<std::byte> memory) noexcept override { host_.remove(memory); }

  void execute(const Call& call, std::span<BackendSequence* const> sequences, Inputs inputs,
               Outputs outputs) override;
  [[nodiscard]] bool lost() const noexcept override { return lost_; }

 private:
  void upload(const CudaBackendOptions& options);
  void enqueue(const Call& call, std::span<DeviceCache* const> caches, Inputs inputs,
               Outputs outputs);
  void run_operator(const Context& context, std::span<const CacheView> caches, const Call& call,
                    Inputs inputs, Outputs outputs);
  void embed(ConstTensor ids, Tensor out);

  WeightSource& source_;
  ModelConfig config_;
  DType compute_;
  const ProductKinds products_;
  Gpu gpu_;
  MemoryNeeds needs_;
  MemoryBudget calls_;
  MemoryBudget fixed_;
  MemoryBudget caches_;
  Stream stream_;
  HostMemory host_;
  Transfers transfers_;
  const bool graphs_;
  Arena arena_;
  Gemm gemm_;
  std::optional<DeviceWeights> weights_;
  std::optional<DeviceWeights> ring_;
  DeviceBuffer frequencies_;
  DeviceBuffer position_;  ///< one i64: of the call whose kernels may be replayed
  ReplayTable<Graph> replays_;
  BufferPool gathered_;
  std::atomic<bool> lost_{false};
};

void CudaBackend::upload(const CudaBackendOptions& options) {
  // Progress is of all kinds together.
  const int kinds = (has_plain(products_) ? 1 : 0) + (has_ring(products_) ? 1 : 0);
  int before = 0;
  const auto tell = [&](std::int64_t done, std::int64_t total) {
    if (options.progress) options.progress(before * total + done, kinds * total);
  };
  if (has_ring(products_)) {
    ring_.emplace(source_, WeightUse{DType::kI8, true}, fixed_, tell, options.stop);
    ++before;
  }
  if (has_plain(products_)) {
    weights_.emplace(source_, WeightUse{compute_, false}, fixed_, tell, options.stop);
  }
}

void CudaBackend::embed(ConstTensor ids, Tensor out) {
  // The rows lie in host memory and are wanted there: no GPU looks them up faster.
  embedding(gathered_, source_.tensor(Weight::kEmbedding), ids, out);
}

void CudaBackend::run_operator(const Context& context, std::span<const CacheView> caches,
                               const Call& call, Inputs inputs, Outputs outputs) {
  switch (call.op) {
    case Op::kBatchLinear:
      return batch_linear(context, *weights_, call, inputs, outputs);
    case Op::kMatmul:
      return matmul(context, call, inputs, outputs);
    case Op::kFusedAttention:
      return fused_attention(context, call, inputs, outputs);
    case Op::kFlashAttention:
      return flash_attention(context, caches, call, inputs, outputs);
    case Op::kAttentionBlock:
      return attention_block(context, *weights_, caches, call, inputs, outputs);
    case Op::kGatedMlp:
      return gated_mlp(context, *weights_, call, inputs, outputs);
    case Op::kLmHead:
      return lm_head(context, *weights_, inputs, outputs);
    case Op::kRingLinear:
      return ring_linear(context, *ring_, call, inputs, outputs);
    case Op::kPadProduct:
      return pad_product(context, *ring_, call, inputs, outputs);
    case Op::kInit:
    case Op::kEmbedding:
      break;
  }
  fail(ErrorCode::kInternal, "{} is not a backend's operator", op_name(call.op));
}

void CudaBackend::enqueue(const Call& call, std::span<DeviceCache* const> caches, Inputs inputs,
                          Outputs outputs) {
  const auto range_of = [&](std::size_t i) -> const RowRange& {
    return call.ranges[static_cast<int>(i)];
  };
  // None has changed if one holds too little.
  for (std::size_t i = 0; i < caches.size(); ++i) {
    caches[i]->rows().require_rows(call.layer, range_of(i).position);
  }
  std::array<CacheView, kMaxRanges> views;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    caches[i]->prepare(stream_, call.layer, range_of(i).position, range_of(i).tokens);
    views[i] = caches[i]->view(call.layer);
  }
  Context context{config_,
                  gpu_,
                  compute_,
                  activation_dtype(compute_),
                  stream_,
                  arena_,
                  transfers_,
                  gemm_,
                  reinterpret_cast<const double*>(frequencies_.data())};
  ReplayedCall replayed{replays_,
                        {call, nullptr, 0, views[0].keys, views[0].head_stride / config_.head_dim},
                        reinterpret_cast<const std::int64_t*>(position_.data())};
  if (graphs_ && replayable(call)) {
    static constexpr std::int64_t kNone = 0;
    const std::int64_t& position = call.ranges.empty() ? kNone : call.ranges[0].position;
    replayed.key.call.ranges = {};
    transfers_.in(reinterpret_cast<const std::byte*>(&position), position_.data(),
                  position_.size());
    context.replayed = &replayed;
  }
  run_operator(context, std::span(views).first(caches.size()), call, inputs, outputs);
  for (std::size_t i = 0; i < caches.size(); ++i) {
    caches[i]->commit(call.layer, range_of(i).tokens);
  }
}

void CudaBackend::execute(const Call& call, std::span<BackendSequence* const> sequences,
                          Inputs inputs, Outputs outputs) {
  require(is_ring(call.op) ? has_ring(products_) : has_plain(products_), ErrorCode::kUnsupported,
          "{}: this worker was started with --products {}", call, product_kinds_name(products_));
  if (call.op == Op::kEmbedding) return embed(inputs[0], outputs[0]);
  std::array<DeviceCache*, kMaxRanges> caches;
  std::size_t count = 0;
  if (keeps_keys(call.op)) {
    require(sequences.size() == static_cast<std::size_t>(call.ranges.size()), ErrorCode::kInternal,
            "{}: {} sequences for {} ranges", call, sequences.size(), call.ranges.size());
    for (BackendSequence* sequence : sequences) {
      auto* own = dynamic_cast<CudaSequence*>(sequence);
      require(own != nullptr, ErrorCode::kInternal, "{}: a sequence is another backend's", call);
      caches[count++] = &own->cache();
    }
  }
  gpu_.make_current();
  arena_.reset();
  try {
    enqueue(call, std::span(caches).first(count), inputs, outputs);
    transfers_.finish();
  } catch (...) {
    transfers_.settle();  // nothing may write the caller's tensors after this
    lost_ = cudaDeviceSynchronize() != cudaSuccess;
    throw;
  }
}

}  // namespace
}  // namespace cuda

std::unique_ptr<Backend> make_cuda_backend(WeightSource& source,
                                           const CudaBackendOptions& options) {
  return std::make_unique<cuda::CudaBackend>(source, options);
}

}  // namespace airlock
