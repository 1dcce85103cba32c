#include "airlock/ops/rules.h"

#include <algorithm>
#include <initializer_list>

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

  void no_ranges() const {
    require(call_.ranges.empty(), ErrorCode::kProtocol,
            "{} has {} ranges of rows, only attention and PadProduct have any", call_,
            call_.ranges.size());
  }

  /// The named matrices, which multiply rows of the same columns; gives those columns.
  std::int64_t ring_weights() const {
    require(!call_.weights.empty(), ErrorCode::kProtocol, "{} names no weights", call_);
    const bool lm_head = call_.weights[0] == Weight::kLmHead;
    if (lm_head) {
      require(call_.weights.size() == 1, ErrorCode::kProtocol,
              "{}: the LM head shares its input with no other matrix", call_);
      no_layer();
    } else {
      layer();
    }
    const std::int64_t columns = weight(call_.weights[0], lm_head)[1];
    for (const Weight other : call_.weights) {
      require(weight(other, lm_head)[1] == columns, ErrorCode::kProtocol,
              "{}: {} does not multiply the rows that {} does", call_, weight_name(other),
              weight_name(call_.weights[0]));
    }
    return columns;
  }

  /// The shape of a matrix that a product may name.
  [[nodiscard]] Shape weight(Weight name, bool lm_head) const {
    require(lm_head || is_layer_matrix(static_cast<unsigned>(name)), ErrorCode::kProtocol,
            "{} names the unknown weight {}", call_, static_cast<unsigned>(name));
    return weight_shape(config_, name);
  }

  void reply_dtype(std::initializer_list<DType> allowed) const {
    require(std::find(allowed.begin(), allowed.end(), call_.reply_dtype) != allowed.end(),
            ErrorCode::kProtocol, "{}: its reply is wanted as {}, expected {}", call_,
            dtype_name(call_.reply_dtype), allowed.size() == 1 ? "ring" : "ring or ring16");
  }

  /// `rows` are 1 to `most` ranges, each of another sequence and within the model's context.
  void ranges(std::int64_t rows, int most) const {
    const RowRanges& ranges = call_.ranges;
    require(!ranges.empty() && ranges.size() <= most, ErrorCode::kProtocol,
            "{} has {} ranges of rows, expected 1 to {}", call_, ranges.size(), most);
    std::int64_t sum = 0;
    for (int i = 0; i < ranges.size(); ++i) {
      const auto [sequence, tokens, position] = ranges[i];
      require(tokens >= 1, ErrorCode::kProtocol, "{} has {} tokens of sequence {}", call_, tokens,
              sequence);
      require(position >= 0 && tokens <= config_.max_position &&
                  position <= config_.max_position - tokens,
              ErrorCode::kProtocol,
              "{}: {} tokens at position {} of sequence {} pass the model's context of {}", call_,
              tokens, position, sequence, config_.max_position);
      for (int j = 0; j < i; ++j) {
        require(ranges[j].sequence != sequence, ErrorCode::kProtocol, "{} names sequence {} twice",
                call_, sequence);
      }
      sum += tokens;
    }
    require(sum == rows, ErrorCode::kProtocol, "{}: its ranges have {} rows, its tensors {}", call_,
            sum, rows);
  }

  void float_dtype(DType dtype) const {
    require(is_real(dtype), ErrorCode::kProtocol,
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

  /// Input `i` is `[rows, columns]` floats, with rows as below; gives them.
  std::int64_t matrix(int i, std::int64_t columns) const {
    rank(i, 2);
    dim(i, 1, columns);
    return rows(i);
  }

  /// Rows of input `i`: at least 1, and no more than kMaxRanges sequences have.
  std::int64_t rows(int i) const {
    const std::int64_t count = call_.inputs[i].shape[0];
    require(count >= 1, ErrorCode::kProtocol, "{} has no tokens", call_);
    require(count / kMaxRanges < config_.max_position || count == kMaxRanges * config_.max_position,
            ErrorCode::kProtocol, "{}: {} rows are more than {} sequences of {} tokens have", call_,
            count, kMaxRanges, config_.max_position);
    return count;
  }

  [[nodiscard]] TensorSpec reply(const Shape& shape) const { return {call_.reply_dtype, shape}; }

 private:
  const ModelConfig& config_;
  const Call& call_;
};

TensorSpecs embedding(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.no_layer();
  check.no_ranges();
  require(call.inputs[0].dtype == DType::kI64 && call.inputs[0].shape.rank() == 1,
          ErrorCode::kProtocol, "Embedding: token ids are {} {}, expected i64 [tokens]",
          dtype_name(call.inputs[0].dtype), call.inputs[0].shape);
  return {check.reply({check.rows(0), config.hidden})};
}

TensorSpecs batch_linear(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.layer();
  check.no_ranges();
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
  check.no_ranges();
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
  check.ranges(tokens, 1);
  require(call.ranges[0].sequence == 0, ErrorCode::kProtocol,
          "{} names sequence {}, but keeps nothing of any: expected 0", call,
          call.ranges[0].sequence);
  for (const int i : {1, 2}) {
    check.rank(i, 2);
    check.dim(i, 0, call.ranges[0].position + tokens);
    check.dim(i, 1, config.q_dim());
  }
  return {check.reply({tokens, config.q_dim()})};
}

TensorSpecs flash_attention(const ModelConfig& config, const Checker& check) {
  check.inputs(3);
  check.layer();
  const std::int64_t tokens = check.matrix(0, config.q_dim());
  check.ranges(tokens, kMaxRanges);
  for (const int i : {1, 2}) {
    check.rank(i, 2);
    check.dim(i, 0, tokens);
    check.dim(i, 1, config.kv_dim());
  }
  return {check.reply({tokens, config.q_dim()})};
}

TensorSpecs attention_block(const ModelConfig& config, const Checker& check) {
  check.inputs(1);
  check.layer();
  const std::int64_t tokens = check.matrix(0, config.hidden);
  check.ranges(tokens, kMaxRanges);
  return {check.reply({tokens, config.hidden})};
}

TensorSpecs gated_mlp(const ModelConfig& config, const Checker& check) {
  check.inputs(1);
  check.layer();
  check.no_ranges();
  return {check.reply({check.matrix(0, config.hidden), config.hidden})};
}

TensorSpecs lm_head(const ModelConfig& config, const Checker& check) {
  check.inputs(1);
  check.no_layer();
  check.no_ranges();
  return {check.reply({check.matrix(0, config.hidden), config.vocab})};
}

TensorSpecs ring_outputs(const ModelConfig& config, const Call& call, const Checker& check,
                         std::int64_t rows) {
  TensorSpecs outputs;
  for (const Weight weight : call.weights) {
    outputs.push_back(check.reply({rows, weight_shape(config, weight)[0]}));
  }
  return outputs;
}

TensorSpecs ring_linear(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.no_ranges();
  check.reply_dtype({DType::kRing, DType::kRing16});
  const std::int64_t columns = check.ring_weights();
  const TensorSpec& x = call.inputs[0];
  require(x.dtype == DType::kRing || x.dtype == DType::kI16, ErrorCode::kProtocol,
          "{}: its rows are {}, expected ring or int16", call, dtype_name(x.dtype));
  require(x.shape.rank() == 2, ErrorCode::kProtocol,
          "{}: tensor 0 has shape {}, expected 2 dimensions", call, x.shape);
  check.dim(0, 1, columns);
  return ring_outputs(config, call, check, check.rows(0));
}

TensorSpecs pad_product(const ModelConfig& config, const Call& call, const Checker& check) {
  check.inputs(1);
  check.reply_dtype({DType::kRing});
  (void)check.ring_weights();
  const TensorSpec& seed = call.inputs[0];
  require(seed.dtype == DType::kI64 && seed.shape == Shape{4}, ErrorCode::kProtocol,
          "{}: its seed is {} {}, expected i64 [4]", call, dtype_name(seed.dtype), seed.shape);
  require(call.ranges.size() == 1 && call.ranges[0].sequence == 0, ErrorCode::kProtocol,
          "{} has {} ranges of rows, expected one, of sequence 0", call, call.ranges.size());
  const auto [sequence, rows, first] = call.ranges[0];
  require(rows >= 1 && rows <= kMaxPadRows && first >= 0 && first <= 0x7fffffff - rows,
          ErrorCode::kProtocol, "{}: {} rows from row {}, expected 1 to {} below row 2^31", call,
          rows, first, kMaxPadRows);
  return ring_outputs(config, call, check, rows);
}

}  // namespace

TensorSpecs infer_outputs(const ModelConfig& config, const Call& call) {
  const Checker check(config, call);
  if (!is_ring(call.op)) check.float_dtype(call.reply_dtype);
  require(call.op == Op::kBatchLinear || is_ring(call.op) || call.weights.empty(),
          ErrorCode::kProtocol, "{} names weights, only BatchLinear and the ring's products do",
          call);
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
      return attention_block(config, check);
    case Op::kGatedMlp:
      return gated_mlp(config, check);
    case Op::kLmHead:
      return lm_head(config, check);
    case Op::kRingLinear:
      return ring_linear(config, call, check);
    case Op::kPadProduct:
      return pad_product(config, call, check);
    case Op::kInit:
      break;
  }
  fail(ErrorCode::kProtocol, "{} cannot be called as an operator", op_name(call.op));
}

}  // namespace airlock
