// Every call of CUDA and cuBLASLt goes through here: what it refuses becomes an Error that names
// the call.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace airlock::cuda {

[[noreturn]] void fail_cuda(cudaError_t status, const char* call);
[[noreturn]] void fail_cublas(cublasStatus_t status, const char* call);

/// Throws Error(kResourceExhausted) if device or pinned memory ran out, else Error(kInternal),
/// unless `status` is success. `call` names what was called, e.g. "cudaMemcpyAsync".
inline void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) fail_cuda(status, call);
}
inline void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) fail_cublas(status, call);
}

}  // namespace airlock::cuda
