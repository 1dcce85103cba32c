#include "airlock/worker/cpu/cpu_backend.h"

#include <array>
#include <utility>

#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/kv_cache.h"
#include "airlock/worker/cpu/cached_attention.h"
#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/embedding.h"
#include "airlock/worker/cpu/fused_attention.h"
#include "airlock/worker/cpu/gated_mlp.h"
#include "airlock/worker/cpu/linear.h"
#include "airlock/worker/cpu/matmul.h"
#include "airlock/worker/cpu/ring_products.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {
namespace {

DType choose_compute(DType wanted) {
  require(wanted == DType::kF32 || wanted == DType::kBF16, ErrorCode::kInvalidArgument,
          "compute dtype is {}, expected f32 or bf16", dtype_name(wanted));
  if (wanted == DType::kBF16 && !cpu_has_bf16()) {
    log_info("this processor ({}) has no bf16 instructions: computing in f32", onednn_isa());
    return DType::kF32;
  }
  return wanted;
}

std::int64_t half_of_memory() {
  return std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE) / 2;
}

using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

/// `progress` as heard by the first (0) or second (1) of two passes over the weights.
Progress half_of(const Progress& progress, int pass) {
  if (!progress) return {};
  return [progress, pass](std::int64_t done, std::int64_t total) {
    progress(done + pass * total, 2 * total);
  };
}

class CpuSequence final : public BackendSequence {
 public:
  CpuSequence(const CpuContext& context, const BufferPool& kv_pool)
      : cache_(context.config, context.compute, kv_pool) {}

  [[nodiscard]] std::int64_t kv_bytes() const override { return cache_.bytes(); }

  [[nodiscard]] std::int64_t kv_bytes_with(int layer, std::int64_t rows) const override {
    return cache_.bytes_with(layer, rows);
  }

  [[nodiscard]] KvCache& cache() noexcept { return cache_; }

 private:
  KvCache cache_;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(WeightSource& source, const CpuBackendOptions& options)
      : context_{.config = source.config(),
                 .compute = choose_compute(options.compute_dtype),
                 .pool = options.pool,
                 .gemm = Gemm(options.pool),
                 .rope = RopeTable(source.config().head_dim, source.config().rope_theta,
                                   source.config().rope_scaling),
                 .max_scratch_bytes =
                     options.max_scratch_bytes > 0 ? options.max_scratch_bytes : half_of_memory()},
        products_(options.products) {
    const bool both = products_ == ProductKinds::kAll;
    if (has_ring(products_)) {
      const Progress half = both ? half_of(options.progress, 0) : options.progress;
      ring_ = RingWeights(source, options.pool, half, options.stop);
    }
    if (has_plain(products_)) {
      const Progress half = both ? half_of(options.progress, 1) : options.progress;
      weights_ = prepare_weights(source, context_.compute, context_.gemm, half, options.stop);
    }
    weight_bytes_ = weights_.bytes() + ring_.bytes();
    context_.pool.trim();  // copies that packing made on the way
  }

  [[nodiscard]] const ModelConfig& config() const override { return context_.config; }
  [[nodiscard]] DType compute_dtype() const override { return context_.compute; }
  [[nodiscard]] ProductKinds products() const override { return products_; }
  [[nodiscard]] std::int64_t weight_bytes() const override { return weight_bytes_; }
  [[nodiscard]] std::string description() const override {
    std::string text = "cpu";
    if (has_plain(products_)) {
      text += fmt::format(", {}, {}", dtype_name(context_.compute), onednn_isa());
    }
    if (has_ring(products_)) text += fmt::format(", ring by {}", ring_isa());
    return fmt::format("{}, {} threads", text, threads());
  }

  [[nodiscard]] std::unique_ptr<BackendSequence> open_sequence() override {
    return std::make_unique<CpuSequence>(context_, kv_pool_);
  }

  void rest() noexcept override {
    context_.gemm.forget();
    context_.pool.trim();
    kv_pool_.trim();
  }

  void execute(const Call& call, std::span<BackendSequence* const> sequences,
               std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) override;

 private:
  void embed(ConstTensor ids, Tensor out);
  void batch_linear(const Call& call, ConstTensor x, std::span<const Tensor> outputs);

  CpuContext context_;
  ProductKinds products_;
  CpuWeights weights_;
  RingWeights ring_;
  std::int64_t weight_bytes_ = 0;
  BufferPool kv_pool_;
};

void CpuBackend::embed(ConstTensor ids, Tensor out) {
  embedding(context_.pool, weights_.embedding, ids, out);
}

void CpuBackend::batch_linear(const Call& call, ConstTensor x, std::span<const Tensor> outputs) {
  std::array<const WeightMatrix*, kMaxTensors> matrices{};
  std::size_t count = 0;
  for (const Weight weight : call.weights) matrices[count++] = &weights_.at(call.layer, weight);
  linear(context_, x, std::span(matrices).first(count), outputs);
}

/// The caches of the ranges of a call that keeps keys.
class CallCaches {
 public:
  CallCaches(const Call& call, std::span<BackendSequence* const> sequences) {
    require(sequences.size() == static_cast<std::size_t>(call.ranges.size()), ErrorCode::kInternal,
            "{}: {} sequences for {} ranges", call, sequences.size(), call.ranges.size());
    for (BackendSequence* sequence : sequences) {
      auto* own = dynamic_cast<CpuSequence*>(sequence);
      require(own != nullptr, ErrorCode::kInternal, "{}: a sequence is another backend's", call);
      caches_[count_++] = &own->cache();
    }
  }
  [[nodiscard]] std::span<KvCache* const> span() const { return {caches_.data(), count_}; }

 private:
  std::array<KvCache*, kMaxRanges> caches_{};
  std::size_t count_ = 0;
};

void CpuBackend::execute(const Call& call, std::span<BackendSequence* const> sequences,
                         std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) {
  ready_team();
  require(is_ring(call.op) ? has_ring(products_) : has_plain(products_), ErrorCode::kUnsupported,
          "{}: this worker was started with --products {}", call, product_kinds_name(products_));
  switch (call.op) {
    case Op::kEmbedding:
      return embed(inputs[0], outputs[0]);
    case Op::kBatchLinear:
      return batch_linear(call, inputs[0], outputs);
    case Op::kMatmul:
      return matmul(context_, inputs[0], inputs[1], call.transpose_b, outputs[0]);
    case Op::kFusedAttention:
      return fused_attention(context_, inputs[0], inputs[1], inputs[2], call.ranges[0].position,
                             outputs[0]);
    case Op::kFlashAttention:
      return cached_attention(context_, CallCaches(call, sequences).span(), call.layer, call.ranges,
                              inputs[0], inputs[1], inputs[2], outputs[0]);
    case Op::kAttentionBlock:
      return attention_block(context_, weights_, CallCaches(call, sequences).span(), call.layer,
                             call.ranges, inputs[0], outputs[0]);
    case Op::kGatedMlp:
      return gated_mlp(context_, weights_, call.layer, inputs[0], outputs[0]);
    case Op::kLmHead: {
      const WeightMatrix* const matrices[] = {&weights_.lm_head};
      return linear(context_, inputs[0], matrices, outputs);
    }
    case Op::kRingLinear:
      return ring_linear(context_.pool, ring_, call, inputs[0], outputs);
    case Op::kPadProduct:
      return pad_product(context_.pool, ring_, call, inputs[0], outputs);
    case Op::kInit:
      break;
  }
  fail(ErrorCode::kInternal, "{} is not a backend's operator", op_name(call.op));
}

}  // namespace

bool cpu_has_bf16() {
  return onednn_has_bf16();
}

std::unique_ptr<Backend> make_cpu_backend(WeightSource& source, CpuBackendOptions options) {
  return std::make_unique<CpuBackend>(source, options);
}

}  // namespace airlock
