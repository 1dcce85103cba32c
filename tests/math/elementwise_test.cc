#include "airlock/math/elementwise.h"

#include <gtest/gtest.h>

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::elementwise_test {
namespace {

std::vector<std::int64_t> sizes() {
  std::vector<std::int64_t> all = testing::kOddSizes;
  all.push_back(300'001);  // several threads
  return all;
}

TEST(Add, EqualsScalarAdditionToTheBit) {
  testing::for_each_target([&] {
    for (const std::int64_t size : sizes()) {
      // One element past the allocation's start: no vector alignment.
      std::vector<float> x = testing::random_floats(size + 1, 1);
      const std::vector<float> y = testing::random_floats(size + 1, 2);
      std::vector<float> expected = x;
      for (std::size_t i = 1; i < x.size(); ++i) expected[i] += y[i];
      add(x.data() + 1, y.data() + 1, size);
      EXPECT_EQ(x, expected) << size;
    }
  });
}

TEST(Add, WidensBf16Exactly) {
  testing::for_each_target([&] {
    for (const std::int64_t size : sizes()) {
      std::vector<float> x = testing::random_floats(size, 1);
      const std::vector<BF16> y = testing::to_bf16(testing::random_floats(size, 2));
      std::vector<float> expected = x;
      for (std::size_t i = 0; i < x.size(); ++i) expected[i] += y[i].to_float();
      add(x.data(), y.data(), size);
      EXPECT_EQ(x, expected) << size;
    }
  });
}

}  // namespace
}  // namespace airlock::elementwise_test
