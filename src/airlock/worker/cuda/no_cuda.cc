#include "airlock/core/error.h"
#include "airlock/worker/cuda/cuda_backend.h"

namespace airlock {

std::string why_no_cuda(int /*device*/) {
  return "this build has no CUDA; build with preset cuda";
}

bool built_with_cuda() noexcept {
  return false;
}

void require_cuda(int device) {
  fail(ErrorCode::kUnsupported, "--device cuda:{}: {}", device, why_no_cuda(device));
}

std::unique_ptr<Backend> make_cuda_backend(WeightSource& /*source*/,
                                           const CudaBackendOptions& options) {
  require_cuda(options.device);
  fail(ErrorCode::kInternal, "a build without CUDA was asked for a GPU");
}

}  // namespace airlock
