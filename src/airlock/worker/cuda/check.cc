#include "airlock/worker/cuda/check.h"

#include "airlock/core/error.h"

namespace airlock::cuda {

void fail_cuda(cudaError_t status, const char* call) {
  cudaGetLastError();  // else the next launch would be blamed for it
  const ErrorCode code =
      status == cudaErrorMemoryAllocation ? ErrorCode::kResourceExhausted : ErrorCode::kInternal;
  fail(code, "{}: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status));
}

void fail_cublas(cublasStatus_t status, const char* call) {
  cudaGetLastError();  // of a launch inside
  const ErrorCode code =
      status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kResourceExhausted : ErrorCode::kInternal;
  fail(code, "{}: {} ({})", call, cublasLtGetStatusString(status), cublasLtGetStatusName(status));
}

}  // namespace airlock::cuda
