// Tensors: what one is (TensorSpec) and views of one that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "airlock/core/dtype.h"
#include "airlock/core/shape.h"

namespace airlock {

/// Element type and shape: enough to know how many bytes a tensor takes.
struct TensorSpec {
  DType dtype = DType::kF32;
  Shape shape;

  /// Bytes of the tensor. For kI8 each row (last dimension) is followed, after all elements, by
  /// one f32 scale: elements + 4 * rows. Throws Error(kInvalidArgument) past 2^63 - 1.
  [[nodiscard]] std::int64_t bytes() const;

  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

/// Read-only view of a dense row-major tensor. Owns nothing; the bytes must outlive it.
struct ConstTensor {
  TensorSpec spec;
  const std::byte* data = nullptr;

  [[nodiscard]] std::int64_t bytes() const { return spec.bytes(); }
  /// The elements as T, which must have the size of the dtype.
  template <typename T>
  [[nodiscard]] const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
};

/// Writable view of a dense row-major tensor. Owns nothing; the bytes must outlive it.
struct Tensor {
  TensorSpec spec;
  std::byte* data = nullptr;

  [[nodiscard]] std::int64_t bytes() const { return spec.bytes(); }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data);
  }
  operator ConstTensor() const { return {spec, data}; }  // NOLINT(google-explicit-constructor)
};

}  // namespace airlock
