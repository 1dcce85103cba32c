#include "airlock/worker/cuda/sdpa.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include <cudnn_graph.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/worker/cuda/sdpa_graph.h"

namespace airlock::cuda {
namespace {

/// A shape's compiled kernel, and what it was made of.
struct Plan {
  SdpaGraph graph;
  CudnnDescriptor engine;
  CudnnDescriptor descriptor;
  std::int64_t workspace = 0;
};

class Handle {
 public:
  explicit Handle(const Stream& stream) {
    check_cudnn(cudnnCreate(&handle_), "cudnnCreate");
    const cudnnStatus_t status = cudnnSetStream(handle_, stream.get());
    if (status != CUDNN_STATUS_SUCCESS) cudnnDestroy(handle_);
    check_cudnn(status, "cudnnSetStream");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { cudnnDestroy(handle_); }
  [[nodiscard]] cudnnHandle_t get() const noexcept { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

std::int64_t workspace_of(const CudnnDescriptor& plan) {
  std::int64_t bytes = 0;
  std::int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                       CUDNN_TYPE_INT64, 1, &count, &bytes),
              "workspace of a plan");
  return bytes;
}

}  // namespace

struct Sdpa::Impl {
  Impl(const Stream& on, double worth) : stream(on), plans(worth) {}

  std::unique_ptr<Plan> make(const SdpaShape& shape) {
    std::string why = "it has no engine for this model's attention";
    try {
      if (!handle) handle.emplace(stream);  // takes time and device memory: not before it is of use
      const SdpaTarget target{handle->get(), nullptr};
      SdpaGraph graph = make_sdpa_graph(shape, target);
      for (CudnnDescriptor& engine : sdpa_engines(graph, target)) {
        try {
          CudnnDescriptor plan = make_sdpa_plan(engine, target);
          const std::int64_t workspace = workspace_of(plan);
          return std::make_unique<Plan>(
              Plan{std::move(graph), std::move(engine), std::move(plan), workspace});
        } catch (const Error& error) {  // the next one may do
          why = error.what();
        }
      }
    } catch (const Error& error) {
      why = error.what();
    }
    tell(why);
    return nullptr;
  }

  void run(const Plan& plan, const AttentionArgs& args, Arena& arena) const {
    float scale = args.scale;
    float minus_inf = -std::numeric_limits<float>::infinity();
    std::int32_t context = args.position + args.tokens;
    std::int32_t tokens = args.tokens;
    auto* const stats = arena.take_array<float>(std::int64_t{args.tokens} * args.heads);
    void* const workspace = plan.workspace > 0 ? arena.take(plan.workspace) : nullptr;
    constexpr std::array kNames = {
        SdpaTensor::kQ,       SdpaTensor::kKeys,   SdpaTensor::kValues,
        SdpaTensor::kOut,     SdpaTensor::kStats,  SdpaTensor::kScale,
        SdpaTensor::kContext, SdpaTensor::kTokens, SdpaTensor::kMinusInf};
    const std::array<void*, kNames.size()> data = {const_cast<void*>(args.q),
                                                   const_cast<void*>(args.keys),
                                                   const_cast<void*>(args.values),
                                                   args.out,
                                                   stats,
                                                   &scale,
                                                   &context,
                                                   &tokens,
                                                   &minus_inf};
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
             std::span<const std::int64_t>(kNames));
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
             std::span<void* const>(data));
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
    pack.finish("variant pack");
    check_cudnn(cudnnBackendExecute(handle->get(), plan.descriptor.get(), pack.get()),
                "cudnnBackendExecute");
  }

  static void tell(const std::string& why) {
    static std::atomic<bool> told{false};
    if (!told.exchange(true)) log_warning("attention without cuDNN: {}", why);
  }

  const Stream& stream;
  std::optional<Handle> handle;
  SdpaPlans<Plan> plans;
};

Sdpa::Sdpa(const Stream& stream, double worth) : impl_(std::make_unique<Impl>(stream, worth)) {}
Sdpa::~Sdpa() = default;

bool Sdpa::attend(const AttentionArgs& args, DType dtype, std::int64_t cache_rows, Arena& arena) {
  const SdpaShape shape{args.tokens,   args.position, args.heads, args.kv_heads,
                        args.head_dim, cache_rows,    dtype};
  if (!sdpa_expressible(shape)) return false;
  Plan* const plan = impl_->plans.find(shape, [&] { return impl_->make(shape); });
  if (plan == nullptr) return false;
  try {
    impl_->run(*plan, args, arena);
    return true;
  } catch (const Error& error) {
    Impl::tell(error.what());
    impl_->plans.drop(shape);
    return false;
  }
}

}  // namespace airlock::cuda
