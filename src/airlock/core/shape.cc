#include "airlock/core/shape.h"

#include <fmt/ranges.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
std::int64_t checked_product(std::span<const std::int64_t> dims) {
  std::int64_t product = 1;
  for (const std::int64_t dim : dims) {
    require(!__builtin_mul_overflow(product, dim, &product), ErrorCode::kInvalidArgument,
            "shape [{}] has more than 2^63 elements", fmt::join(dims, ", "));
  }
  return product;
}
}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  require(dims.size() <= kMaxRank, ErrorCode::kInvalidArgument,
          "a shape has {} dimensions, expected at most {}", dims.size(), kMaxRank);
  for (std::size_t i = 0; i < dims.size(); ++i) {
    require(dims[i] >= 0, ErrorCode::kInvalidArgument, "shape [{}] has a negative dimension",
            fmt::join(dims, ", "));
    dims_[i] = dims[i];
  }
}

std::int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + rank_ : i;
  require(index >= 0 && index < rank_, ErrorCode::kInternal, "dimension {} of shape {}", i, *this);
  return dims_[static_cast<std::size_t>(index)];
}

std::int64_t Shape::elements() const {
  return checked_product(dims());
}

std::int64_t Shape::rows() const {
  return rank_ < 2 ? 1 : checked_product(dims().first(static_cast<std::size_t>(rank_) - 1));
}

std::int64_t Shape::columns() const noexcept {
  return rank_ == 0 ? 1 : dims_[static_cast<std::size_t>(rank_) - 1];
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(dims(), ", "));
}

}  // namespace airlock
