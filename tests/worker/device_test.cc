#include "airlock/worker/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/cuda_backend.h"

#include "tests/worker/backend_model.h"

namespace airlock {
namespace {

TEST(Device, NamesAreParsedAndPrinted) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_EQ(parse_device("cuda"), (Device{Device::Kind::kCuda, 0}));
  EXPECT_EQ(parse_device("cuda:3"), (Device{Device::Kind::kCuda, 3}));
  for (const char* name : {"cpu", "cuda:0", "cuda:12"}) {
    EXPECT_EQ(device_name(parse_device(name)), name);
  }
}

TEST(Device, OtherNamesAreRefusedWithWhatIsExpected) {
  for (const char* name : {"", "gpu", "CUDA:0", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999",
                           "cuda 0", "cpu:0"}) {
    try {
      parse_device(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("cuda:0"));
    }
  }
}

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
  BackendOptions options;
  options.device = device;
  expect_refusal([&] { make_backend(weights, options); });
  if (!built_with_cuda()) {
    EXPECT_EQ(why_no_cuda(0), "this build has no CUDA; build with preset cuda");
  }
}

TEST(Device, TheCpuIsOneOfThem) {
  testing::RandomWeights weights(testing::odd_config(), DType::kF32);
  BackendOptions options;
  options.compute_dtype = DType::kF32;
  std::int64_t taken_in = 0;
  options.progress = [&](std::int64_t done, std::int64_t) { taken_in = done; };
  const auto backend = make_backend(weights, options);
  EXPECT_EQ(backend->compute_dtype(), DType::kF32);
  EXPECT_THAT(backend->description(), ::testing::StartsWith("cpu"));
  EXPECT_GT(taken_in, 0);
}

}  // namespace
}  // namespace airlock
