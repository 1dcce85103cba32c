#include "airlock/worker/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/cuda_backend.h"

#include "tests/worker/backend_model.h"

namespace airlock::device_test {
namespace {

TEST(Device, AMissingGpuIsRefusedWithTheReason) {
  require_device({});
  constexpr int kTooMany = 1000;
  const Device device{Device::Kind::kCuda, kTooMany};
  const auto expect_refusal = [](const auto& body) {
    try {
      body();
      FAIL() << "GPU 1000 was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_EQ(std::string(error.what()), "--device cuda:1000: " + why_no_cuda(kTooMany));
    }
  };
  expect_refusal([&] { require_device(device); });
  testing::RandomWeights weights(testing::odd_config(), DType::kF32);
  ComputeOptions options;
  options.device = device;
  expect_refusal([&] { make_backend(weights, options); });
  if (!built_with_cuda()) {
    EXPECT_EQ(why_no_cuda(0), "this build has no CUDA; build with preset cuda");
  }
}

TEST(Device, TheCpuIsOneOfThem) {
  testing::RandomWeights weights(testing::odd_config(), DType::kF32);
  ComputeOptions options;
  options.dtype = DType::kF32;
  std::int64_t taken_in = 0;
  const auto backend = make_backend(
      weights, options, {.progress = [&](std::int64_t done, std::int64_t) { taken_in = done; }});
  EXPECT_EQ(backend->compute_dtype(), DType::kF32);
  EXPECT_THAT(backend->description(), ::testing::StartsWith("cpu"));
  EXPECT_GT(taken_in, 0);
}

}  // namespace
}  // namespace airlock::device_test
