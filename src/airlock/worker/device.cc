#include "airlock/worker/device.h"

#include "airlock/worker/cpu/cpu_backend.h"
#include "airlock/worker/cuda/cuda_backend.h"

namespace airlock {

void require_device(const Device& device) {
  if (device.kind == Device::Kind::kCuda) require_cuda(device.index);
}

std::unique_ptr<Backend> make_backend(WeightSource& source, const ComputeOptions& options,
                                      const LoadOptions& loading) {
  if (options.device.kind == Device::Kind::kCpu) {
    CpuBackendOptions cpu;
    cpu.compute_dtype = options.dtype;
    cpu.products = options.products;
    cpu.progress = loading.progress;
    cpu.stop = loading.stop;
    return make_cpu_backend(source, cpu);
  }
  CudaBackendOptions cuda;
  cuda.device = options.device.index;
  cuda.compute_dtype = options.dtype;
  cuda.products = options.products;
  cuda.progress = loading.progress;
  cuda.stop = loading.stop;
  cuda.gpu_memory = options.gpu_memory;
  cuda.kv_bytes = options.kv_bytes;
  cuda.tf32 = options.tf32;
  return make_cuda_backend(source, cuda);
}

}  // namespace airlock
