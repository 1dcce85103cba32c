#include "airlock/core/shape.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/tensor.h"

namespace airlock::shape_test {
namespace {

TEST(Shape, CountsElementsRowsAndColumns) {
  const Shape shape{32, 7, 64};
  EXPECT_EQ(shape.elements(), 32 * 7 * 64);
  EXPECT_EQ(shape.rows(), 32 * 7);
  EXPECT_EQ(shape.columns(), 64);
  EXPECT_EQ(shape[-1], 64);
  EXPECT_EQ(shape.to_string(), "[32, 7, 64]");
}

TEST(Shape, RefusesNegativeDimensionsTooManyAndOverflow) {
  EXPECT_THROW(Shape({1, -1}), Error);
  EXPECT_THROW(Shape({1, 1, 1, 1, 1}), Error);
  const Shape huge{std::int64_t{1} << 40, std::int64_t{1} << 40};
  EXPECT_THROW((void)huge.elements(), Error);
}

TEST(TensorSpec, CountsBytesWithOneScaleARowForInt8) {
  EXPECT_EQ((TensorSpec{DType::kF32, {3, 5}}.bytes()), 60);
  EXPECT_EQ((TensorSpec{DType::kBF16, {3, 5}}.bytes()), 30);
  EXPECT_EQ((TensorSpec{DType::kI8, {3, 5}}.bytes()), 15 + 12);
  EXPECT_EQ((TensorSpec{DType::kI64, {3}}.bytes()), 24);
  EXPECT_THROW((void)(TensorSpec{DType::kI64, {std::int64_t{1} << 61}}.bytes()), Error);
}

}  // namespace
}  // namespace airlock::shape_test
