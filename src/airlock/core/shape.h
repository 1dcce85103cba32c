// Shapes of tensors: up to four dimensions, held inline, products checked for overflow.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include <fmt/format.h>

namespace airlock {

/// Dimensions of a row-major tensor, outermost first, e.g. `[tokens, hidden]`. A value type; never
/// allocates. Dimensions are non-negative.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws Error(kInvalidArgument) for more than four dimensions or a negative one.
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  [[nodiscard]] int rank() const noexcept { return rank_; }
  /// Dimension `i` in [0, rank); negative `i` counts from the end. Throws if out of range.
  [[nodiscard]] std::int64_t operator[](int i) const;
  [[nodiscard]] std::span<const std::int64_t> dims() const noexcept {
    return {dims_.data(), static_cast<std::size_t>(rank_)};
  }
  /// Product of all dimensions (1 for rank 0). Throws Error(kInvalidArgument) past 2^63 - 1.
  [[nodiscard]] std::int64_t elements() const;
  /// Product of all dimensions but the last (1 for rank 0 or 1).
  [[nodiscard]] std::int64_t rows() const;
  /// The last dimension (1 for rank 0).
  [[nodiscard]] std::int64_t columns() const noexcept;
  /// "[1024, 2048]".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace airlock

/// Lets errors name a shape without building its text unless they are thrown.
template <>
struct fmt::formatter<airlock::Shape> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const airlock::Shape& shape, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(shape.to_string(), context);
  }
};
