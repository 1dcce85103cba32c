// Asks cuDNN whether its engines take the graph, for GPUs that are only described. It wants the
// driver's library for that, or the toolkit's stub of it, as tools/cuda_check.sh gives it.
#include "airlock/worker/cuda/sdpa_graph.h"

#include <string>

#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::cuda {
namespace {

struct DescribedGpu {
  const char* name;
  int capability;
  int processors;
  int shared_bytes;
};

constexpr DescribedGpu kGpus[] = {
    {"A100", 800, 108, 166912}, {"H100", 900, 132, 232448}, {"B200", 1000, 148, 232448}};

CudnnDescriptor describe(const DescribedGpu& gpu) {
  const std::string json = fmt::format(
      R"({{"deviceVer":{},"driverVer":13000,"cudaDeviceId":0,"maxGridSize":[2147483647,65535,65535],)"
      R"("maxBlockSize":[1024,1024,64],"regsPerBlock":65536,"multiProcessorCount":{},"warpSize":32,)"
      R"("maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},)"
      R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,)"
      R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,)"
      R"("supportCoopLaunch":1,"smClockRateKHz":1980000,"memClockRateKHz":2619000,)"
      R"("l2CacheSize":41943040,"totalGlobalMem":85520809984,"deviceName":"{}"}})",
      gpu.capability, gpu.processors, gpu.shared_bytes, gpu.name);
  CudnnDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
             std::span<const char>(json));
  device.finish("described GPU");
  return device;
}

SdpaShape shape_of(std::int64_t tokens, std::int64_t position, std::int64_t head_dim, DType dtype) {
  constexpr std::int64_t kCacheRows = 8192;
  return {tokens, position, 32, 8, head_dim, kCacheRows, dtype};
}

TEST(CudaSdpaGraph, IsSaidForEveryShapeThatIsExpressible) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    for (const SdpaShape& shape :
         {shape_of(16, 0, 64, dtype), shape_of(1024, 0, 64, dtype), shape_of(129, 7000, 128, dtype),
          shape_of(100, 30, 96, dtype), shape_of(300, 1, 256, dtype)}) {
      EXPECT_TRUE(sdpa_expressible(shape));
      EXPECT_NO_THROW((void)make_sdpa_graph(shape, {}));
    }
  }
  EXPECT_FALSE(sdpa_expressible(shape_of(16, 0, 14, DType::kBF16)));
  EXPECT_FALSE(sdpa_expressible(shape_of(16, 0, 264, DType::kBF16)));
  EXPECT_FALSE(sdpa_expressible(shape_of(16, 0, 64, DType::kF32)));
}

TEST(CudaSdpaGraph, HasAnEngineOnEveryGpuThatBuildsAreFor) {
  if (::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) {
    GTEST_SKIP() << "cuDNN names no engine without libcuda.so.1";
  }
  for (const DescribedGpu& gpu : kGpus) {
    const CudnnDescriptor device = describe(gpu);
    const SdpaTarget target{nullptr, &device};
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      for (const SdpaShape& shape :
           {shape_of(1024, 0, 64, dtype), shape_of(256, 521, 64, dtype),
            shape_of(16, 40, 64, dtype), shape_of(129, 7000, 128, dtype)}) {
        const SdpaGraph graph = make_sdpa_graph(shape, target);
        EXPECT_FALSE(sdpa_engines(graph, target).empty())
            << gpu.name << ", " << dtype_name(dtype) << ", " << shape.tokens << " at "
            << shape.position << ", heads of " << shape.head_dim;
      }
    }
  }
}

TEST(CudaSdpaGraph, WhatCudnnRefusesIsAnErrorThatNamesIt) {
  CudnnDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  const std::string json = "{}";
  try {
    device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
               std::span<const char>(json));
    device.finish("described GPU");
    FAIL() << "an empty description was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("cuDNN, described GPU: "), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace airlock::cuda
