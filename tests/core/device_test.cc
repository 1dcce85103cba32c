#include "airlock/core/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::device_test {
namespace {

TEST(DeviceName, NamesAreParsedAndPrinted) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_EQ(parse_device("cuda"), (Device{Device::Kind::kCuda, 0}));
  EXPECT_EQ(parse_device("cuda:3"), (Device{Device::Kind::kCuda, 3}));
  for (const char* name : {"cpu", "cuda:0", "cuda:12"}) {
    EXPECT_EQ(device_name(parse_device(name)), name);
  }
}

TEST(DeviceName, OtherNamesAreRefusedWithWhatIsExpected) {
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

}  // namespace
}  // namespace airlock::device_test
