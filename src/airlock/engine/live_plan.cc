#include "airlock/engine/live_plan.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "airlock/core/error.h"
#include "airlock/launch/known_by_kind.h"
#include "airlock/math/activation.h"
#include "airlock/math/flash_attention.h"
#include "airlock/shield/shield_rates.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

/// Rows at which the worker is timed: a decoding step, the smallest chunk worth having, and where
/// products reach their rate.
constexpr std::int64_t kRows[] = {1, 64, 256};
/// The runner's attention is timed on one chunk of so many tokens.
constexpr std::int64_t kAttentionRows = 128;
/// Past the caches, as the activations of a prefill are.
constexpr std::int64_t kElements = 4 << 20;

template <typename Work>
double best_seconds(const Work& work) {
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    const auto began = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    if (run == 1 || (run > 1 && seconds < best)) best = seconds;  // the first one warms up
  }
  return best;
}

/// Numbers of the size that activations have: zeros and denormals would run at another speed.
Buffer activations(const BufferPool& pool, std::int64_t count) {
  Buffer buffer = pool.acquire(static_cast<std::size_t>(count) * sizeof(float));
  for (std::int64_t i = 0; i < count; ++i) {
    buffer.as<float>()[i] = static_cast<float>(i % 97) / 48.0F - 1.0F;
  }
  return buffer;
}

double worker_flops(const ModelConfig& config, Operators& operators, MemoryLedger& ledger,
                    const BufferPool& pool, std::int64_t rows) {
  const TensorSpec spec{DType::kF32, {rows, config.hidden}};
  const Buffer in = activations(pool, spec.shape.elements());
  const Buffer out = pool.acquire(static_cast<std::size_t>(spec.bytes()));
  Call call;
  call.op = Op::kGatedMlp;
  call.layer = 0;
  call.inputs = {spec};
  const std::array<ConstTensor, 1> inputs = {ConstTensor{spec, in.data()}};
  const std::array<Tensor, 1> outputs = {Tensor{spec, out.data()}};
  ledger.clear();
  for (int run = 0; run < 3; ++run) operators.execute(call, inputs, outputs);
  const auto& entries = ledger.entries();
  const double ms = std::min(entries[1].worker_ms, entries[2].worker_ms);
  return 6 * static_cast<double>(config.hidden * config.ffn * rows) / std::max(ms, 1e-6) * 1e3;
}

/// The same for exact products: gate and up of layer 0 on int16 rows.
double ring_flops(const ModelConfig& config, Operators& operators, MemoryLedger& ledger,
                  const BufferPool& pool, std::int64_t rows) {
  Call call;
  call.op = Op::kRingLinear;
  call.layer = 0;
  call.weights = {Weight::kGate, Weight::kUp};
  call.inputs = {{DType::kRing, {rows, config.hidden}}};
  call.reply_dtype = DType::kRing;
  const Buffer in = pool.acquire(static_cast<std::size_t>(call.inputs[0].bytes()));
  for (std::int64_t i = 0; i < rows * config.hidden; ++i) {
    in.as<std::uint32_t>()[i] = static_cast<std::uint32_t>(i * 2654435761U) >> 2;
  }
  const TensorSpec spec{DType::kRing, {rows, config.ffn}};
  const Buffer gate = pool.acquire(static_cast<std::size_t>(spec.bytes()));
  const Buffer up = pool.acquire(static_cast<std::size_t>(spec.bytes()));
  const std::array<ConstTensor, 1> inputs = {ConstTensor{call.inputs[0], in.data()}};
  const std::array<Tensor, 2> outputs = {Tensor{spec, gate.data()}, Tensor{spec, up.data()}};
  ledger.clear();
  for (int run = 0; run < 3; ++run) operators.execute(call, inputs, outputs);
  const auto& entries = ledger.entries();
  const double ms = std::min(entries[1].worker_ms, entries[2].worker_ms);
  return 4 * static_cast<double>(config.hidden * config.ffn * rows) / std::max(ms, 1e-6) * 1e3;
}

double attention_flops_per_second(const ModelConfig& config, const BufferPool& pool) {
  const std::int64_t width = config.q_dim();
  const Buffer q = activations(pool, kAttentionRows * width);
  const Buffer k = activations(pool, kAttentionRows * config.kv_dim());
  const Buffer out = pool.acquire(static_cast<std::size_t>(kAttentionRows * width) * sizeof(float));
  FlashAttentionArgs args;
  args.q = {q.data(), width, config.head_dim};
  args.k = args.v = {k.data(), config.kv_dim(), config.head_dim};
  args.out = {out.data(), width, config.head_dim};
  args.tokens = kAttentionRows;
  args.heads = config.heads;
  args.kv_heads = config.kv_heads;
  args.head_dim = config.head_dim;
  args.scale = config.attention_scale();
  const double seconds = best_seconds([&] { flash_attention(args, pool); });
  // 4 operations for each element of q and each key it sees.
  return 4 * static_cast<double>(width * kAttentionRows * (kAttentionRows + 1) / 2) / seconds;
}

KnownByKind<HostRates>& known_rates() {
  static KnownByKind<HostRates> known;
  return known;
}

}  // namespace

HostRates measure_host_rates(const RunnerModel& model, WorkerSession& session) {
  const ModelConfig& config = model.config();
  const BufferPool pool;
  HostRates rates;
  MemoryLedger ledger;
  LedgerSink* own = session.exchange_ledger(&ledger);
  try {
    Operators& operators = session.endpoint().operators();
    const ProductKinds products = session.worker().products;
    for (const std::int64_t wanted : kRows) {
      const std::int64_t rows = std::min(wanted, config.max_position);
      const auto at = static_cast<double>(wanted);
      if (has_plain(products)) {
        rates.worker.push_back({at, worker_flops(config, operators, ledger, pool, rows)});
      }
      if (has_ring(products)) {
        rates.ring.push_back({at, ring_flops(config, operators, ledger, pool, rows)});
      }
    }
  } catch (...) {
    session.exchange_ledger(own);
    throw;
  }
  session.exchange_ledger(own);
  rates.runner_flops = attention_flops_per_second(config, pool);
  const Buffer gate = activations(pool, kElements);
  const Buffer up = activations(pool, kElements);
  rates.runner_bytes = 3 * sizeof(float) * static_cast<double>(kElements) / best_seconds([&] {
                         const TensorSpec spec{DType::kF32, {kElements}};
                         silu_mul({spec, gate.data()}, {spec, up.data()}, {spec, gate.data()});
                       });
  const ShieldRates shield = measure_shield_rates();
  rates.pad_values = shield.pads;
  rates.check_values = shield.checks;
  rates.shield_values = shield.convert;
  rates.same_cores = session.shares_cores();
  const LinkProfile& profile = session.profile();
  // What lies in shared memory does not cross anything.
  const bool shared = profile.shared_rate > 0;
  rates.send_rate = shared ? profile.shared_rate : profile.send_rate;
  rates.receive_rate = shared ? profile.shared_rate : profile.receive_rate;
  rates.rtt_ms = profile.rtt_ms;
  return rates;
}

PlanChoice choose_live_plan(const RunnerModel& model, WorkerSession& session,
                            const LiveRequest& request) {
  std::optional<HostRates> rates = known_rates().find(session.link_kind());
  if (!rates) {
    rates = measure_host_rates(model, session);
    known_rates().keep(session.link_kind(), *rates);
  }
  AutoRequest wanted;
  wanted.prompt = request.prompt;
  wanted.generated = request.generated;
  wanted.must_not_see = request.must_not_see;
  wanted.fixed = request.fixed;
  wanted.rates = *rates;
  const int agreed = session.most_lanes();
  wanted.most_lanes = request.lanes > 0 ? std::min(request.lanes, agreed) : agreed;
  PlanChoice choice = choose_plan(model.config(), wanted);
  session.use_lanes(choice.lanes);
  return choice;
}

}  // namespace airlock
