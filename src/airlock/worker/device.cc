#include "airlock/worker/device.h"

#include <charconv>

#include "airlock/core/error.h"
#include "airlock/worker/cpu/cpu_backend.h"
#include "airlock/worker/cuda/cuda_backend.h"

namespace airlock {

Device parse_device(std::string_view name) {
  if (name == "cpu") return {};
  if (name == "cuda") return {Device::Kind::kCuda, 0};
  constexpr std::string_view kPrefix = "cuda:";
  if (name.starts_with(kPrefix)) {
    int index = -1;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, index);
    if (error == std::errc() && rest == end && index >= 0) return {Device::Kind::kCuda, index};
  }
  fail(ErrorCode::kInvalidArgument, "--device {}: expected cpu or cuda:N, e.g. cuda:0", name);
}

std::string device_name(const Device& device) {
  return device.kind == Device::Kind::kCpu ? "cpu" : fmt::format("cuda:{}", device.index);
}

void require_device(const Device& device) {
  if (device.kind == Device::Kind::kCuda) require_cuda(device.index);
}

std::unique_ptr<Backend> make_backend(WeightSource& source, const BackendOptions& options) {
  if (options.device.kind == Device::Kind::kCpu) {
    CpuBackendOptions cpu;
    cpu.compute_dtype = options.compute_dtype;
    cpu.progress = options.progress;
    cpu.stop = options.stop;
    return make_cpu_backend(source, cpu);
  }
  CudaBackendOptions cuda;
  cuda.device = options.device.index;
  cuda.compute_dtype = options.compute_dtype;
  cuda.progress = options.progress;
  cuda.stop = options.stop;
  cuda.gpu_memory = options.gpu_memory;
  cuda.kv_bytes = options.kv_bytes;
  cuda.tf32 = options.tf32;
  return make_cuda_backend(source, cuda);
}

}  // namespace airlock
