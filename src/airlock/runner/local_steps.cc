#include "airlock/runner/local_steps.h"

#include "airlock/core/error.h"
#include "airlock/math/activation.h"
#include "airlock/math/convert.h"
#include "airlock/math/elementwise.h"
#include "airlock/math/flash_attention.h"
#include "airlock/math/heads.h"
#include "airlock/math/repeat_rows.h"
#include "airlock/math/rms_norm.h"
#include "airlock/math/softmax.h"

namespace airlock {
namespace {

/// Products in the runner (attention, LM head) take the precision their inputs travelled in.
DType product_dtype(const Plan& plan) {
  return plan.wire_dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
}

/// Only the runner's own attention reads the cache as it is; the others send copies of it.
DType cache_dtype(const Plan& plan, const SlotLayout& layout) {
  return plan.attention == Attention::kRunner ? product_dtype(plan) : layout.copied();
}

}  // namespace

LocalSteps::LocalSteps(const RunnerModel& model, const Plan& plan, const Program& program,
                       const SlotLayout& layout)
    : model_(model),
      layout_(layout),
      cache_dtype_(cache_dtype(plan, layout)),
      rope_(model.config().head_dim, model.config().rope_theta, model.config().rope_scaling) {
  // Weights are read before the first token, not with it.
  for (const Step& step : program.begin) {
    if (step.kind == StepKind::kEmbed) (void)model.embedding();
  }
  for (const Step& step : program.end) {
    if (step.kind == StepKind::kProject) {
      lm_head_ = std::make_unique<RunnerLmHead>(model.lm_head(product_dtype(plan)));
    }
  }
}

LocalSteps::~LocalSteps() = default;

std::int64_t LocalSteps::cache_bytes() const noexcept {
  std::int64_t bytes = 0;
  for (const auto& [sequence, cache] : caches_) bytes += cache->bytes();
  return bytes;
}

Tensor LocalSteps::slot(Slot slot, const Visit& visit, const BatchMemory& memory) const {
  return memory.slots.get(slot, layout_, model_.config(), memory.batch, visit.pass);
}

void LocalSteps::run(const Visit& visit, const BatchMemory& memory) {
  const ModelConfig& config = model_.config();
  switch (visit.step->kind) {
    case StepKind::kRemote:
      fail(ErrorCode::kInternal, "a call is no local step");
    case StepKind::kEmbed:
      model_.embed(memory.ids, output(visit, 0, memory).as<float>());
      break;
    case StepKind::kNorm: {
      const Tensor in = input(visit, 0, memory);
      rms_norm(in.as<float>(), model_.norm(visit.step->weights[0], visit.layer),
               static_cast<float>(config.rms_norm_eps), in.spec.shape[0], in.spec.shape[1],
               output(visit, 0, memory).as<float>());
      break;
    }
    case StepKind::kNormWanted:
      norm_wanted(visit, memory);
      break;
    case StepKind::kRotate:
      rotate(visit, memory);
      break;
    case StepKind::kCache:
      extend_caches(visit, memory);
      break;
    case StepKind::kSplitHeads:
      split_queries(visit, memory);
      break;
    case StepKind::kRepeatHeads:
    case StepKind::kRepeatRows:
      repeat_cached(visit, memory);
      break;
    case StepKind::kSoftmax:
      causal_softmax(output(visit, 0, memory), memory.batch[visit.pass].position,
                     config.attention_scale());
      break;
    case StepKind::kMergeHeads: {
      const Tensor in = input(visit, 0, memory);
      merge_heads(in.as<float>(), in.spec.shape[0], in.spec.shape[1], in.spec.shape[2],
                  output(visit, 0, memory).as<float>());
      break;
    }
    case StepKind::kAttend:
      attend(visit, memory);
      break;
    case StepKind::kActivate:
      silu_mul(input(visit, 0, memory), input(visit, 1, memory), output(visit, 0, memory));
      break;
    case StepKind::kAdd: {
      const Tensor in = input(visit, 0, memory);
      add(output(visit, 0, memory).as<float>(), in.as<float>(), in.spec.shape.elements());
      break;
    }
    case StepKind::kProject: {
      const Tensor in = input(visit, 0, memory);
      lm_head_->run(in.as<float>(), in.spec.shape[0], output(visit, 0, memory).as<float>());
      break;
    }
  }
}

void LocalSteps::norm_wanted(const Visit& visit, const BatchMemory& memory) {
  const Tensor in = input(visit, 0, memory);
  const std::int64_t width = in.spec.shape[1];
  const auto eps = static_cast<float>(model_.config().rms_norm_eps);
  const float* rows = in.as<float>();
  auto* out = output(visit, 0, memory).as<float>();
  for (const Pass& pass : memory.batch) {
    const float* wanted = rows + (pass.tokens - pass.logit_rows) * width;
    if (pass.logit_rows > 0) {
      rms_norm(wanted, model_.norm(visit.step->weights[0], visit.layer), eps, pass.logit_rows,
               width, out);
    }
    rows += pass.tokens * width;
    out += pass.logit_rows * width;
  }
}

void LocalSteps::rotate(const Visit& visit, const BatchMemory& memory) {
  for (int i = 0; i < visit.step->outputs.size(); ++i) {
    const Tensor tensor = output(visit, i, memory);
    const std::int64_t width = tensor.spec.shape[1];
    auto* rows = tensor.as<float>();
    for (const Pass& pass : memory.batch) {
      rope_.apply(rows, pass.tokens, width / model_.config().head_dim, pass.position);
      rows += pass.tokens * width;
    }
  }
}

KvCache& LocalSteps::cache(std::uint32_t sequence) {
  std::unique_ptr<KvCache>& cache = caches_[sequence];
  if (!cache) cache = std::make_unique<KvCache>(model_.config(), cache_dtype_, layout_.own());
  return *cache;
}

void LocalSteps::extend_caches(const Visit& visit, const BatchMemory& memory) {
  const std::int64_t heads = model_.config().kv_heads;
  const Tensor k = input(visit, 0, memory);
  const Tensor v = input(visit, 1, memory);
  const std::int64_t width = k.spec.shape[1];
  constexpr std::int64_t kFloat = sizeof(float);
  std::int64_t first = 0;
  for (const Pass& pass : memory.batch) {
    KvCache& own = cache(pass.sequence);
    const float* keys = k.as<float>() + first * width;
    own.prepare(visit.layer, pass.position, pass.tokens);
    const std::int64_t stride = own.head_stride(visit.layer);
    if (own.dtype() == DType::kBF16) {
      rope_.apply_to_heads(keys, pass.tokens, heads, pass.position,
                           static_cast<BF16*>(own.keys(visit.layer)), stride, pass.position);
    } else {
      rope_.apply_to_heads(keys, pass.tokens, heads, pass.position,
                           static_cast<float*>(own.keys(visit.layer)), stride, pass.position);
    }
    own.write_values(visit.layer, ConstTensor{{v.spec.dtype, {pass.tokens, width}},
                                              v.data + first * width * kFloat});
    own.commit(visit.layer, pass.tokens);
    first += pass.tokens;
  }
}

void LocalSteps::split_queries(const Visit& visit, const BatchMemory& memory) {
  const Tensor in = input(visit, 0, memory);
  const Tensor out = output(visit, 0, memory);
  const std::int64_t heads = out.spec.shape[0];
  const std::int64_t rows = out.spec.shape[1];
  const std::int64_t head_dim = out.spec.shape[2];
  const std::int64_t stride = rows * head_dim;
  if (out.spec.dtype == DType::kBF16) {
    split_heads(in.as<float>(), rows, heads, head_dim, out.as<BF16>(), stride, 0);
  } else {
    split_heads(in.as<float>(), rows, heads, head_dim, out.as<float>(), stride, 0);
  }
}

void LocalSteps::repeat_cached(const Visit& visit, const BatchMemory& memory) {
  const ModelConfig& config = model_.config();
  const auto repeat = visit.step->kind == StepKind::kRepeatRows ? repeat_rows : repeat_heads;
  const Pass& pass = memory.batch[visit.pass];
  const KvCache& own = cache(pass.sequence);
  const std::int64_t group = config.heads / config.kv_heads;
  const std::int64_t stride = own.head_stride(visit.layer);
  const void* const sources[] = {own.keys(visit.layer), own.values(visit.layer)};
  for (int i = 0; i < 2; ++i) {
    repeat(own.dtype(), sources[i], config.kv_heads, stride, group, pass.position + pass.tokens,
           config.head_dim, output(visit, i, memory).data);
  }
}

void LocalSteps::attend(const Visit& visit, const BatchMemory& memory) {
  const ModelConfig& config = model_.config();
  const Tensor q = input(visit, 0, memory);
  const std::int64_t width = q.spec.shape[1];
  const std::byte* queries = q.data;
  if (cache_dtype_ == DType::kBF16) {
    const TensorSpec narrow{DType::kBF16, q.spec.shape};
    const auto bytes = static_cast<std::size_t>(narrow.bytes());
    if (narrow_queries_.size() < bytes) narrow_queries_ = layout_.own().acquire(bytes);
    convert(ConstTensor(q), Tensor{narrow, narrow_queries_.data()});
    queries = narrow_queries_.data();
  }
  FlashAttentionArgs args;
  args.dtype = cache_dtype_;
  args.out_dtype = DType::kF32;
  args.heads = config.heads;
  args.kv_heads = config.kv_heads;
  args.head_dim = config.head_dim;
  args.scale = config.attention_scale();
  auto* out = output(visit, 0, memory).as<float>();
  const auto row_bytes = static_cast<std::int64_t>(dtype_size(cache_dtype_)) * width;
  attention_.clear();
  for (const Pass& pass : memory.batch) {
    const KvCache& own = cache(pass.sequence);
    const std::int64_t stride = own.head_stride(visit.layer);
    args.q = {queries, width, config.head_dim};
    args.k = {own.keys(visit.layer), config.head_dim, stride};
    args.v = {own.values(visit.layer), config.head_dim, stride};
    args.out = {out, width, config.head_dim};
    args.tokens = pass.tokens;
    args.position = pass.position;
    attention_.push_back(args);
    queries += row_bytes * pass.tokens;
    out += pass.tokens * width;
  }
  flash_attention(attention_, layout_.own());
}

}  // namespace airlock
