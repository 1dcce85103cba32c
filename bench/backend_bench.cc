// The CPU backend at the shapes of LLaMA 3.2-1B: every operator at 1, 128 and 1024 tokens, in both
// compute dtypes, tensors travelling in the compute dtype. Rates count multiplications and
// additions; `linear_1b` is what all linear operators of the model take for that many tokens.

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/ops/rules.h"
#include "airlock/worker/cpu/cpu_backend.h"

namespace airlock {
namespace {

/// One layer of the preset (all layers have its shapes), every matrix the same random bytes.
class BenchWeights final : public WeightSource {
 public:
  BenchWeights() {
    config_ = *find_preset("llama-3.2-1b");
    config_.layers = 1;
    bytes_ = pool_.acquire(static_cast<std::size_t>(tensor(Weight::kLmHead).bytes()));
    std::mt19937 rng(1);
    std::uniform_real_distribution<float> uniform(-0.02F, 0.02F);
    std::array<BF16, 65536> pattern;
    for (BF16& value : pattern) value = BF16::from_float(uniform(rng));
    for (std::size_t at = 0; at < bytes_.size(); at += sizeof(pattern)) {
      std::memcpy(bytes_.data() + at, pattern.data(),
                  std::min(sizeof(pattern), bytes_.size() - at));
    }
  }
  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  using WeightSource::tensor;
  [[nodiscard]] ConstTensor tensor(Weight weight, int) override {
    return {{DType::kBF16, weight_shape(config_, weight)}, bytes_.data()};
  }
  void release(ConstTensor) override {}

 private:
  ModelConfig config_;
  BufferPool pool_;
  Buffer bytes_;
};

Backend& backend(DType compute) {
  static BenchWeights weights;
  static std::array<std::unique_ptr<Backend>, 2> backends;
  auto& held = backends[compute == DType::kF32 ? 0 : 1];
  if (!held) {
    CpuBackendOptions options;
    options.compute_dtype = compute;
    held = make_cpu_backend(weights, options);
  }
  return *held;
}

/// A call with its tensors, ready to run again and again.
class PreparedCall {
 public:
  PreparedCall(Backend& target, Call call)
      : backend_(target), sequence_(target.open_sequence()), call_(std::move(call)) {
    for (const TensorSpec& spec : call_.inputs) inputs_.push_back(tensor(spec));
    for (const TensorSpec& spec : infer_outputs(target.config(), call_)) {
      outputs_.push_back(tensor(spec));
    }
  }
  void run() { execute(call_, inputs_, outputs_); }

  /// Runs `prefill` on this call's sequence first.
  void fill_cache(const Call& prefill) {
    const PreparedCall first(backend_, prefill);
    execute(prefill, first.inputs_, first.outputs_);
  }

 private:
  void execute(const Call& call, std::span<const ConstTensor> inputs,
               std::span<const Tensor> outputs) {
    BackendSequence* const own = sequence_.get();
    backend_.execute(call, {&own, 1}, inputs, outputs);
  }
  Tensor tensor(const TensorSpec& spec) {
    buffers_.push_back(pool_.acquire(static_cast<std::size_t>(spec.bytes())));
    std::byte* data = buffers_.back().data();
    std::mt19937 rng(2);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const std::int64_t count = spec.shape.elements();
    for (std::int64_t i = 0; i < count; ++i) {
      if (spec.dtype == DType::kI64) {
        reinterpret_cast<std::int64_t*>(data)[i] = static_cast<std::int64_t>(rng() % 128256);
      } else if (spec.dtype == DType::kBF16) {
        reinterpret_cast<BF16*>(data)[i] = BF16::from_float(uniform(rng));
      } else {
        reinterpret_cast<float*>(data)[i] = uniform(rng);
      }
    }
    return {spec, data};
  }

  Backend& backend_;
  std::unique_ptr<BackendSequence> sequence_;
  Call call_;
  BufferPool pool_;
  std::vector<Buffer> buffers_;
  std::vector<ConstTensor> inputs_;
  std::vector<Tensor> outputs_;
};

void measure(benchmark::State& state, PreparedCall& prepared, double operations) {
  prepared.run();
  for (auto _ : state) prepared.run();
  state.counters["FLOP/s"] =
      benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate);
}

void measure(benchmark::State& state, DType dtype, Call call, double operations) {
  call.reply_dtype = dtype;
  PreparedCall prepared(backend(dtype), call);
  measure(state, prepared, operations);
}

double weight_operations(const ModelConfig& config, const Weights& weights, std::int64_t tokens) {
  double sum = 0;
  for (const Weight weight : weights) {
    const Shape shape = weight_shape(config, weight);
    sum += 2.0 * static_cast<double>(tokens * shape[0] * shape[1]);
  }
  return sum;
}

Call linear_call(const ModelConfig& config, const Weights& weights, DType dtype,
                 std::int64_t tokens) {
  Call call;
  call.op = Op::kBatchLinear;
  call.layer = 0;
  call.weights = weights;
  call.reply_dtype = dtype;
  call.inputs = {{dtype, {tokens, weight_shape(config, weights[0])[1]}}};
  return call;
}

void batch_linear(benchmark::State& state, DType dtype, const Weights& weights) {
  const ModelConfig& config = backend(dtype).config();
  const std::int64_t tokens = state.range(0);
  measure(state, dtype, linear_call(config, weights, dtype, tokens),
          weight_operations(config, weights, tokens));
}

Call lm_head_call(const ModelConfig& config, DType dtype, std::int64_t tokens) {
  Call call;
  call.op = Op::kLmHead;
  call.reply_dtype = dtype;
  call.inputs = {{dtype, {tokens, config.hidden}}};
  return call;
}

void lm_head(benchmark::State& state, DType dtype) {
  const ModelConfig& config = backend(dtype).config();
  const std::int64_t tokens = state.range(0);
  measure(state, dtype, lm_head_call(config, dtype, tokens),
          2.0 * static_cast<double>(tokens * config.vocab * config.hidden));
}

/// One layer's linear operators and a sixteenth of the LM head (of the last token) take a sixteenth
/// of the model's time.
void linear_1b(benchmark::State& state, DType dtype) {
  Backend& target = backend(dtype);
  const ModelConfig& config = target.config();
  const std::int64_t tokens = state.range(0);
  std::vector<std::unique_ptr<PreparedCall>> layer;
  double operations = 0;
  for (const Weights& weights : {Weights{Weight::kQ, Weight::kK, Weight::kV}, Weights{Weight::kO},
                                 Weights{Weight::kGate, Weight::kUp}, Weights{Weight::kDown}}) {
    layer.push_back(
        std::make_unique<PreparedCall>(target, linear_call(config, weights, dtype, tokens)));
    operations += weight_operations(config, weights, tokens);
  }
  PreparedCall head(target, lm_head_call(config, dtype, 1));
  constexpr int kLayers = 16;
  for (auto _ : state) {
    for (int i = 0; i < kLayers; ++i) {
      for (const auto& call : layer) call->run();
    }
    head.run();
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(kLayers * operations, benchmark::Counter::kIsIterationInvariantRate);
}

void scores(benchmark::State& state, DType dtype) {
  const ModelConfig& config = backend(dtype).config();
  const std::int64_t tokens = state.range(0);
  Call call;
  call.op = Op::kMatmul;
  call.layer = 0;
  call.transpose_b = true;
  call.inputs = {{dtype, {config.heads, tokens, config.head_dim}},
                 {dtype, {config.heads, 1024, config.head_dim}}};
  measure(state, dtype, call, 2.0 * static_cast<double>(config.q_dim() * tokens * 1024));
}

void values(benchmark::State& state, DType dtype) {
  const ModelConfig& config = backend(dtype).config();
  const std::int64_t tokens = state.range(0);
  Call call;
  call.op = Op::kMatmul;
  call.layer = 0;
  call.inputs = {{dtype, {config.heads, tokens, 1024}},
                 {dtype, {config.heads, 1024, config.head_dim}}};
  measure(state, dtype, call, 2.0 * static_cast<double>(config.q_dim() * tokens * 1024));
}

constexpr std::int64_t kContext = 1024;

/// The call of an operator on a sequence: its first `tokens`, or the last one of kContext.
Call sequence_call(const ModelConfig& config, DType dtype, Op op, std::int64_t tokens) {
  Call call;
  call.op = op;
  call.layer = op == Op::kEmbedding ? -1 : 0;
  call.reply_dtype = dtype;
  const std::int64_t position = tokens == 1 ? kContext - 1 : 0;
  if (is_attention(op)) call.ranges = {{0, static_cast<std::int32_t>(tokens), position}};
  const TensorSpec x{dtype, {tokens, config.hidden}};
  const TensorSpec q{dtype, {tokens, config.q_dim()}};
  const TensorSpec kv{dtype, {tokens, config.kv_dim()}};
  const TensorSpec repeated{dtype, {position + tokens, config.q_dim()}};
  switch (op) {
    case Op::kEmbedding:
      call.inputs = {{DType::kI64, {tokens}}};
      break;
    case Op::kFusedAttention:
      call.inputs = {q, repeated, repeated};
      break;
    case Op::kFlashAttention:
      call.inputs = {q, kv, kv};
      break;
    default:
      call.inputs = {x};
  }
  return call;
}

/// Attention counts the half of the square that the causal mask leaves.
double sequence_operations(const ModelConfig& config, Op op, std::int64_t tokens) {
  const double attended = tokens == 1 ? kContext : 0.5 * static_cast<double>(tokens * tokens);
  const double attention = 4.0 * static_cast<double>(config.q_dim()) * attended;
  switch (op) {
    case Op::kEmbedding:
      return 0;
    case Op::kFusedAttention:
    case Op::kFlashAttention:
      return attention;
    case Op::kAttentionBlock:
      return attention + weight_operations(config, {Weight::kQ, Weight::kK, Weight::kV}, tokens) +
             weight_operations(config, {Weight::kO}, tokens);
    default:
      return weight_operations(config, {Weight::kGate, Weight::kUp, Weight::kDown}, tokens);
  }
}

void sequence(benchmark::State& state, DType dtype, Op op) {
  Backend& target = backend(dtype);
  const std::int64_t tokens = state.range(0);
  const Call call = sequence_call(target.config(), dtype, op, tokens);
  PreparedCall prepared(target, call);
  if (tokens == 1 && is_attention(op) && op != Op::kFusedAttention) {
    prepared.fill_cache(sequence_call(target.config(), dtype, op, kContext));
  }
  measure(state, prepared, sequence_operations(target.config(), op, tokens));
}

void register_dtype(DType dtype) {
  const auto add = [&](const std::string& name, const auto& body) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", name, dtype_name(dtype)).c_str(), body)
        ->Arg(1)
        ->Arg(128)
        ->Arg(256)
        ->Arg(1024)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  const auto add_linear = [&](const std::string& name, const Weights& weights) {
    add(name, [=](benchmark::State& state) { batch_linear(state, dtype, weights); });
  };
  add_linear("qkv", {Weight::kQ, Weight::kK, Weight::kV});
  add_linear("q", {Weight::kQ});
  add_linear("k", {Weight::kK});
  add_linear("o", {Weight::kO});
  add_linear("gate_up", {Weight::kGate, Weight::kUp});
  add_linear("down", {Weight::kDown});
  add("lm_head", [=](benchmark::State& state) { lm_head(state, dtype); });
  add("linear_1b", [=](benchmark::State& state) { linear_1b(state, dtype); });
  add("matmul_qk", [=](benchmark::State& state) { scores(state, dtype); });
  add("matmul_pv", [=](benchmark::State& state) { values(state, dtype); });
  const std::pair<const char*, Op> sequences[] = {{"embedding", Op::kEmbedding},
                                                  {"fused_attention", Op::kFusedAttention},
                                                  {"flash_attention", Op::kFlashAttention},
                                                  {"attention_block", Op::kAttentionBlock},
                                                  {"gated_mlp", Op::kGatedMlp}};
  for (const auto& [name, op] : sequences) {
    add(name, [dtype, op](benchmark::State& state) { sequence(state, dtype, op); });
  }
}

const bool registered = [] {
  register_dtype(DType::kBF16);
  register_dtype(DType::kF32);
  return true;
}();

}  // namespace
}  // namespace airlock
