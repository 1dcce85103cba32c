#include "airlock/worker/cuda/gpu.h"

#include <cuda_runtime_api.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/check.h"
#include "airlock/worker/cuda/cuda_backend.h"

namespace airlock {

bool built_with_cuda() noexcept {
  return true;
}

std::string why_no_cuda(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver || status == cudaErrorStubLibrary) {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return fmt::format("there is no NVIDIA driver, or one too old for CUDA {}.{}", runtime / 1000,
                       runtime % 1000 / 10);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return "the driver shows no NVIDIA GPU";
  }
  if (status != cudaSuccess) {
    return fmt::format("the driver cannot be used: {} ({})", cudaGetErrorString(status),
                       cudaGetErrorName(status));
  }
  if (device < 0 || device >= count) {
    return fmt::format("the driver shows {} GPU{}, numbered from 0", count, count == 1 ? "" : "s");
  }
  int major = 0;
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
              "cudaDeviceGetAttribute");
  constexpr int kLeastMajor = 8;
  if (major >= kLeastMajor) return "";
  return fmt::format("its compute capability is {}.x, this build needs {}.0", major, kLeastMajor);
}

void require_cuda(int device) {
  const std::string why = why_no_cuda(device);
  require(why.empty(), ErrorCode::kUnsupported, "--device cuda:{}: {}", device, why);
}

namespace cuda {

Gpu::Gpu(int index) : index_(index) {
  require_cuda(index);
  make_current();
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  name_ = properties.name;
  capability_ = fmt::format("{}.{}", properties.major, properties.minor);
  processors_ = properties.multiProcessorCount;
  shared_bytes_ = static_cast<std::int64_t>(properties.sharedMemPerBlockOptin);
}

void Gpu::make_current() const {
  check(cudaSetDevice(index_), "cudaSetDevice");
}

void Gpu::try_make_current() const noexcept {
  cudaSetDevice(index_);
}

std::string Gpu::label() const {
  return fmt::format("cuda:{}", index_);
}

std::int64_t Gpu::free_bytes() const {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(free);
}

}  // namespace cuda
}  // namespace airlock
