#include "airlock/worker/cuda/sdpa_graph.h"

#include <array>
#include <utility>

#include <cuda_runtime_api.h>

#include "airlock/core/error.h"

namespace airlock::cuda {
namespace {

using Dims = std::array<std::int64_t, 4>;

/// Builds a graph's operations; what they refer to lives until it is finished.
class Builder {
 public:
  explicit Builder(const SdpaShape& shape)
      : all_{1, shape.heads, shape.tokens, shape.context()},
        rows_{1, shape.heads, shape.tokens, 1} {}

  using Index = std::size_t;  ///< of a tensor

  Index tensor(cudnnDataType_t type, const Dims& dims, const Dims& strides, std::int64_t id) {
    return add_tensor(type, dims, strides, id, false, false);
  }
  Index scalar(cudnnDataType_t type, std::int64_t id) {
    return add_tensor(type, {1, 1, 1, 1}, {1, 1, 1, 1}, id, false, true);
  }
  /// A value for each query and key, or for each query, that never reaches memory.
  Index scores(cudnnDataType_t type) {
    const Dims strides{all_[1] * all_[2] * all_[3], all_[2] * all_[3], all_[3], 1};
    return add_tensor(type, all_, strides, next_id_++, true, false);
  }
  Index row_values() {
    return add_tensor(CUDNN_DATA_FLOAT, rows_, row_strides(), next_id_++, true, false);
  }
  [[nodiscard]] const Dims& rows() const noexcept { return rows_; }
  [[nodiscard]] Dims row_strides() const noexcept { return {rows_[1] * rows_[2], rows_[2], 1, 1}; }

  void product(Index a, Index b, Index c) {
    CudnnDescriptor& how = add_part(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    how.finish("matmul");
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[a]);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[b]);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[c]);
    add_operation(std::move(operation), "matmul");
  }

  void reduction(cudnnReduceTensorOp_t mode, Index x, Index y) {
    CudnnDescriptor& how = add_part(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, mode);
    how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    how.finish("reduction");
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[x]);
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[y]);
    add_operation(std::move(operation), "reduction");
  }

  /// y = mode(x).
  void unary(cudnnPointwiseMode_t mode, Index x, Index y) {
    CudnnDescriptor& how = add_mode(mode, CUDNN_DATA_FLOAT);
    how.finish("pointwise");
    add_operation(pointwise(how, x, y), "pointwise");
  }
  /// y = x's own index along `axis`.
  void index(std::int64_t axis, Index x, Index y) {
    CudnnDescriptor& how = add_mode(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32);
    how.set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, axis);
    how.finish("pointwise");
    add_operation(pointwise(how, x, y), "pointwise");
  }
  /// y = mode(x, b).
  void binary(cudnnPointwiseMode_t mode, cudnnDataType_t computed, Index x, Index b, Index y) {
    CudnnDescriptor& how = add_mode(mode, computed);
    how.finish("pointwise");
    CudnnDescriptor operation = pointwise(how, x, y);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[b]);
    add_operation(std::move(operation), "pointwise");
  }
  /// y = x where t, else b.
  void select(Index x, Index b, Index t, Index y) {
    CudnnDescriptor& how = add_mode(CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT);
    how.finish("pointwise");
    CudnnDescriptor operation = pointwise(how, x, y);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[b]);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tensors_[t]);
    add_operation(std::move(operation), "pointwise");
  }

  SdpaGraph finish(const SdpaTarget& target) {
    std::vector<cudnnBackendDescriptor_t> operations;
    for (const CudnnDescriptor& operation : operations_) operations.push_back(operation.get());
    CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              std::span<const cudnnBackendDescriptor_t>(operations));
    if (target.handle != nullptr) {
      graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
    }
    graph.finish("operation graph");
    std::vector<CudnnDescriptor> parts;
    for (auto* some : {&operations_, &parts_, &tensors_}) {
      for (CudnnDescriptor& part : *some) parts.push_back(std::move(part));
    }
    return {std::move(parts), std::move(graph)};
  }

 private:
  Index add_tensor(cudnnDataType_t type, const Dims& dims, const Dims& strides, std::int64_t id,
                   bool passing, bool by_value) {
    constexpr std::int64_t kAlignment = 16;
    CudnnDescriptor& tensor = tensors_.emplace_back(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
    tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::span<const std::int64_t>(dims));
    tensor.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::span<const std::int64_t>(strides));
    tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
    tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
    tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, passing);
    tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, by_value);
    tensor.finish("tensor");
    return tensors_.size() - 1;
  }
  CudnnDescriptor& add_part(cudnnBackendDescriptorType_t type) { return parts_.emplace_back(type); }
  CudnnDescriptor& add_mode(cudnnPointwiseMode_t mode, cudnnDataType_t computed) {
    CudnnDescriptor& how = add_part(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
    how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, computed);
    return how;
  }
  CudnnDescriptor pointwise(const CudnnDescriptor& how, Index x, Index y) const {
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[x]);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[y]);
    return operation;
  }
  void add_operation(CudnnDescriptor operation, const char* what) {
    operation.finish(what);
    operations_.push_back(std::move(operation));
  }

  Dims all_;
  Dims rows_;
  std::int64_t next_id_ = 100;
  std::vector<CudnnDescriptor> tensors_;
  std::vector<CudnnDescriptor> parts_;
  std::vector<CudnnDescriptor> operations_;
};

}  // namespace

void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  cudaGetLastError();  // of a launch inside: our own kernel's, which comes instead, is not to blame
  std::array<char, 512> more{};
  cudnnGetLastErrorString(more.data(), more.size());
  fail(ErrorCode::kInternal, "cuDNN, {}: {} {}", what, cudnnGetErrorString(status), more.data());
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  check_cudnn(cudnnBackendCreateDescriptor(type, &descriptor_), "cudnnBackendCreateDescriptor");
}

CudnnDescriptor::CudnnDescriptor(CudnnDescriptor&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, nullptr)) {}

CudnnDescriptor& CudnnDescriptor::operator=(CudnnDescriptor&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
}

void CudnnDescriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              std::int64_t count, const void* values) {
  check_cudnn(cudnnBackendSetAttribute(descriptor_, name, type, count, values),
              "cudnnBackendSetAttribute");
}

void CudnnDescriptor::finish(const char* what) {
  check_cudnn(cudnnBackendFinalize(descriptor_), what);
}

bool sdpa_expressible(const SdpaShape& shape) noexcept {
  constexpr std::int64_t kWidest = 256;
  return (shape.dtype == DType::kBF16 || shape.dtype == DType::kF16) && shape.head_dim % 8 == 0 &&
         shape.head_dim <= kWidest;
}

SdpaGraph make_sdpa_graph(const SdpaShape& shape, const SdpaTarget& target) {
  const cudnnDataType_t type = shape.dtype == DType::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  const std::int64_t dim = shape.head_dim;
  const std::int64_t kv_head = shape.cache_rows * dim;
  const std::int64_t cache = shape.kv_heads * kv_head;
  const std::int64_t row = shape.heads * dim;
  Builder graph(shape);
  const Dims queries{1, shape.heads, shape.tokens, dim};
  const Dims query_strides{shape.tokens * row, dim, row, 1};
  const auto q = graph.tensor(type, queries, query_strides, SdpaTensor::kQ);
  const auto keys = graph.tensor(type, {1, shape.kv_heads, dim, shape.context()},
                                 {cache, kv_head, 1, dim}, SdpaTensor::kKeys);
  const auto values = graph.tensor(type, {1, shape.kv_heads, shape.context(), dim},
                                   {cache, kv_head, dim, 1}, SdpaTensor::kValues);
  const auto out = graph.tensor(type, queries, query_strides, SdpaTensor::kOut);

  const auto raw = graph.scores(CUDNN_DATA_FLOAT);
  graph.product(q, keys, raw);
  const auto scaled = graph.scores(CUDNN_DATA_FLOAT);
  graph.binary(CUDNN_POINTWISE_MUL, CUDNN_DATA_FLOAT, raw,
               graph.scalar(CUDNN_DATA_FLOAT, SdpaTensor::kScale), scaled);

  // Row t is token context - tokens + t of its sequence and sees the keys up to its own.
  const auto row_index = graph.scores(CUDNN_DATA_INT32);
  graph.index(2, scaled, row_index);
  const auto shifted = graph.scores(CUDNN_DATA_INT32);
  graph.binary(CUDNN_POINTWISE_ADD, CUDNN_DATA_INT32, row_index,
               graph.scalar(CUDNN_DATA_INT32, SdpaTensor::kContext), shifted);
  const auto place = graph.scores(CUDNN_DATA_INT32);
  graph.binary(CUDNN_POINTWISE_SUB, CUDNN_DATA_INT32, shifted,
               graph.scalar(CUDNN_DATA_INT32, SdpaTensor::kTokens), place);
  const auto key_index = graph.scores(CUDNN_DATA_INT32);
  graph.index(3, scaled, key_index);
  const auto seen = graph.scores(CUDNN_DATA_BOOLEAN);
  graph.binary(CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, place, key_index, seen);
  const auto masked = graph.scores(CUDNN_DATA_FLOAT);
  graph.select(scaled, graph.scalar(CUDNN_DATA_FLOAT, SdpaTensor::kMinusInf), seen, masked);

  const auto top = graph.row_values();
  graph.reduction(CUDNN_REDUCE_TENSOR_MAX, masked, top);
  const auto below = graph.scores(CUDNN_DATA_FLOAT);
  graph.binary(CUDNN_POINTWISE_SUB, CUDNN_DATA_FLOAT, masked, top, below);
  const auto powers = graph.scores(CUDNN_DATA_FLOAT);
  graph.unary(CUDNN_POINTWISE_EXP, below, powers);
  const auto sum = graph.row_values();
  graph.reduction(CUDNN_REDUCE_TENSOR_ADD, powers, sum);
  // Nobody reads these; without them the engines do not recognise a softmax.
  const auto log_sum = graph.row_values();
  graph.unary(CUDNN_POINTWISE_LOG, sum, log_sum);
  graph.binary(
      CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, top, log_sum,
      graph.tensor(CUDNN_DATA_FLOAT, graph.rows(), graph.row_strides(), SdpaTensor::kStats));
  const auto weights = graph.scores(type);
  graph.binary(CUDNN_POINTWISE_DIV, CUDNN_DATA_FLOAT, powers, sum, weights);
  graph.product(weights, values, out);
  return graph.finish(target);
}

std::vector<CudnnDescriptor> sdpa_engines(const SdpaGraph& graph, const SdpaTarget& target) {
  constexpr std::size_t kMost = 8;
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  if (target.device != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.device);
  heuristics.finish("engine heuristics");
  std::vector<CudnnDescriptor> engines;
  std::array<cudnnBackendDescriptor_t, kMost> room{};
  for (auto& place : room) {
    place = engines.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get();
  }
  std::int64_t found = 0;
  check_cudnn(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, kMost, &found, room.data()),
              "results of heuristics");
  while (engines.size() > static_cast<std::size_t>(found)) engines.pop_back();
  return engines;
}

CudnnDescriptor make_sdpa_plan(const CudnnDescriptor& engine, const SdpaTarget& target) {
  CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
  if (target.handle != nullptr) {
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
  }
  if (target.device != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.device);
  plan.finish("execution plan");
  return plan;
}

}  // namespace airlock::cuda
