// Causal attention in the words of cuDNN's backend API: the graph of operations that its fused
// engines recognise, and the plans they make of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <cudnn_graph.h>

#include "airlock/worker/cuda/sdpa_shape.h"

namespace airlock::cuda {

/// Throws Error(kInternal) with what cuDNN says, unless `status` is success. `what` names the call.
void check_cudnn(cudnnStatus_t status, const char* what);

/// One of cuDNN's descriptors: made, told attributes, finished. Movable; destroyed with this.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);
  CudnnDescriptor(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor(const CudnnDescriptor&) = delete;
  CudnnDescriptor& operator=(const CudnnDescriptor&) = delete;
  ~CudnnDescriptor();

  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           std::span<const T> values) {
    set_raw(name, type, static_cast<std::int64_t>(values.size()), values.data());
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    set_raw(name, type, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
  }
  void finish(const char* what);

  [[nodiscard]] cudnnBackendDescriptor_t get() const noexcept { return descriptor_; }

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               std::int64_t count, const void* values);

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

/// Names of the graph's tensors, by which data is handed in.
struct SdpaTensor {
  static constexpr std::int64_t kQ = 1;
  static constexpr std::int64_t kKeys = 2;
  static constexpr std::int64_t kValues = 3;
  static constexpr std::int64_t kOut = 4;
  static constexpr std::int64_t kStats = 5;     ///< log of each row's sum, f32 [heads, tokens]
  static constexpr std::int64_t kScale = 6;     ///< f32, by value
  static constexpr std::int64_t kContext = 7;   ///< i32, by value
  static constexpr std::int64_t kTokens = 8;    ///< i32, by value
  static constexpr std::int64_t kMinusInf = 9;  ///< f32, by value
};

/// What plans are made for: the handle's GPU, or one that is only described.
struct SdpaTarget {
  cudnnHandle_t handle = nullptr;
  const CudnnDescriptor* device = nullptr;
};

/// The graph, and the descriptors that it refers to.
struct SdpaGraph {
  std::vector<CudnnDescriptor> parts;
  CudnnDescriptor descriptor;
};

/// True for what the graph below can say: rows of whole 16 bytes, no head wider than the engines'.
[[nodiscard]] bool sdpa_expressible(const SdpaShape& shape) noexcept;

/// q and out [tokens, heads, head_dim], keys and values [kv_heads, cache_rows, head_dim]. Throws as
/// check_cudnn.
[[nodiscard]] SdpaGraph make_sdpa_graph(const SdpaShape& shape, const SdpaTarget& target);

/// How cuDNN's heuristics would run `graph`, best first: only what this machine supports. Throws as
/// check_cudnn.
[[nodiscard]] std::vector<CudnnDescriptor> sdpa_engines(const SdpaGraph& graph,
                                                        const SdpaTarget& target);

/// Compiles. Throws as check_cudnn.
[[nodiscard]] CudnnDescriptor make_sdpa_plan(const CudnnDescriptor& engine,
                                             const SdpaTarget& target);

}  // namespace airlock::cuda
