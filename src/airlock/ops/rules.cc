#include "airlock/ops/rules.h"

namespace airlock {
namespace {

/// Collects what the checks of one call share, so that each error names the call the same way.
class Checker {
 public:
  Checker(const ModelConfig& config, const Call& call) : config_(config), call_(call) {}

  void inputs(int count) const {
    require(call_.inputs.size() == count, ErrorCode::kProtocol, "{} has {} tensors, expected {}",
            call_, call_.inputs.size(), count);
  }

  void layer() const {
    require(call_.layer >= 0 && call_.layer < config_.layers, ErrorCode::kProtocol,
            "{}: layer {} is out of range, the model has {}", op_name(call_.op), call_.layer,
            config_.layers);
  }

  void no_layer() const {
    require(call_.layer == -1, ErrorCode::kProtocol, "{} names layer {}, expected none",
            op_name(call_.op), call_.layer);
  }

  void no_position() const {
    require(call_.position == 0, ErrorCode::kProtocol, "{} has position {}, expected 0", call_,
            call_.position);
  }

  void float_dtype(DType dtype) const {
    require(dtype != DType::kI64 && is_dtype(static_cast<unsigned>(dtype)), ErrorCode::kProtocol,
            "{}: a tensor is {}, expected f32, bf16, f16 or int8", call_, dtype_name(dtype));
  }

  /// Input `i` is a float tensor of `rank`; its dimensions are checked by `dim`.
  void rank(int i, int rank) const {
    float_dtype(call_.inputs[i].dtype);
    require(call_.inputs[i].shape.rank() == rank, ErrorCode::kProtocol,
            "{}: tensor {} has shape {}, expected {} dimensions", call_, i, call_.inputs[i].shape,
            rank);
  }

  void dim(int i, int axis, std::int64_t expected) const {
    require(call_.inputs[i].shape[axis] == expected, ErrorCode::kProtocol,
            "{}: tensor {} has shape {}, expected {} in dimension {}", call_, i,
            call_.inputs[i].shape, expected, axis);
  }

  /// Input `i` is `[rows, columns]` floats with `rows` in [1, max_position]; gives the rows.
  std::int64_t matrix(int i, std::int64_t columns) const {
    rank(i, 2);
    dim(i, 1, columns);
    return tokens(i);
  }

  std::int64_t tokens(int i) const {
    const std::int64_t count = call_.inputs[i].shape[0];
    within_context(count);
    return count;
  }

  /// 1 <= count and position + count <= max_position.
  void within_context(std::int64_t count) const {
    require(count >= 1, ErrorCode::kProtocol, "{} has no tokens", call_);
    require(call_.position >= 0 && count <= config_.max_position &&
                call_.position <= config_.max_position - count,
            ErrorCode::kProtocol, "{}: {} tokens at position {} pass the model's context of {}",
            call_, count, call_.position, config_.max_position);
  }

  [[nodiscard]] TensorSpec reply(const Shape& shape) const { return {call_.reply_dtype, shape}; }

 private:
  const ModelConfig& config_;
  const Call& call_;
};

TensorSpecs embedding(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.no_layer();
  check.no_position();
  require(call.inputs[0].dtype == DType::kI64 && call.inputs[0].shape.rank() == 1,
          ErrorCode::kProtocol, "Embedding: token ids are {} {}, expected i64 [tokens]",
          dtype_name(call.inputs[0].dtype), call.inputs[0].shape);
  return {check.reply({check.tokens(0), config.hidden})};
}

TensorSpecs batch_linear(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.layer();
  check.no_position();
  require(!call.weights.empty(), ErrorCode::kProtocol, "{} names no weights", call);
  TensorSpecs outputs;
  for (const Weight weight : call.weights) {
    require(is_layer_matrix(static_cast<unsigned>(weight)), ErrorCode::kProtocol,
            "{} names the unknown weight {}", call, static_cast<unsigned>(weight));
    const Shape shape = weight_shape(config, weight);
    const std::int64_t tokens = check.matrix(0, shape[1]);
    outputs.push_back(check.reply({tokens, shape[0]}));
  }
  return outputs;
}

TensorSpecs matmul(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(2);
  check.layer();
  check.no_position();
  check.rank(0, 3);
  check.rank(1, 3);
  const Shape& a = call.inputs[0].shape;
  const Shape& b = call.inputs[1].shape;
  const int inner = call.transpose_b ? 2 : 1;
  const int outer = call.transpose_b ? 1 : 2;
  check.dim(0, 0, config.heads);
  check.dim(1, 0, config.heads);
  check.dim(1, inner, a[2]);
  for (const std::int64_t extent : {a[1], a[2], b[outer]}) {
    // Only attention multiplies activations, so every extent is a head or (part of) the context.
    require(extent >= 1 && extent <= std::max(config.max_position, config.head_dim),
            ErrorCode::kProtocol, "{}: shapes {} and {} do not belong to attention of this model",
            call, a, b);
  }
  return {check.reply({a[0], a[1], b[outer]})};
}

TensorSpecs fused_attention(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(3);
  check.layer();
  const std::int64_t tokens = check.matrix(0, config.q_dim());
  for (const int i : {1, 2}) {
    check.rank(i, 2);
    check.dim(i, 0, call.position + tokens);
    check.dim(i, 1, config.q_dim());
  }
  return {check.reply({tokens, config.q_dim()})};
}

TensorSpecs flash_attention(const ModelConfig& config, const Checker& check) {
  check.inputs(3);
  check.layer();
  const std::int64_t tokens = check.matrix(0, config.q_dim());
  for (const int i : {1, 2}) {
    check.rank(i, 2);
    check.dim(i, 0, tokens);
    check.dim(i, 1, config.kv_dim());
  }
  return {check.reply({tokens, config.q_dim()})};
}

TensorSpecs block(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.layer();
  if (call.op == Op::kGatedMlp) check.no_position();
  return {check.reply({check.matrix(0, config.hidden), config.hidden})};
}

TensorSpecs lm_head(const ModelConfig& config, const Checker& check) {
  check.inputs(1);
  check.no_layer();
  check.no_position();
  return {check.reply({check.matrix(0, config.hidden), config.vocab})};
}

}  // namespace

TensorSpecs infer_outputs(const ModelConfig& config, const Call& call) {
  const Checker check(config, call);
  check.float_dtype(call.reply_dtype);
  require(call.op == Op::kBatchLinear || call.weights.empty(), ErrorCode::kProtocol,
          "{} names weights, only BatchLinear does", call);
  require(call.op == Op::kMatmul || !call.transpose_b, ErrorCode::kProtocol,
          "{} asks for a transposed operand, only Matmul has one", call);
  switch (call.op) {
    case Op::kEmbedding:
      return embedding(config, call, check);
    case Op::kBatchLinear:
      return batch_linear(config, call, check);
    case Op::kMatmul:
      return matmul(config, call, check);
    case Op::kFusedAttention:
      return fused_attention(config, call, check);
    case Op::kFlashAttention:
      return flash_attention(config, check);
    case Op::kAttentionBlock:
    case Op::kGatedMlp:
      return block(config, call, check);
    case Op::kLmHead:
      return lm_head(config, check);
    case Op::kInit:
      break;
  }
  fail(ErrorCode::kProtocol, "{} cannot be called as an operator", op_name(call.op));
}

}  // namespace airlock
