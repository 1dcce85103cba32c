#include "airlock/core/tensor.h"

#include "airlock/core/error.h"

namespace airlock {

std::int64_t TensorSpec::bytes() const {
  const std::int64_t elements = shape.elements();
  std::int64_t bytes = 0;
  bool overflow =
      __builtin_mul_overflow(elements, static_cast<std::int64_t>(dtype_size(dtype)), &bytes);
  if (dtype == DType::kI8) {
    std::int64_t scales = 0;
    overflow |= __builtin_mul_overflow(shape.rows(), std::int64_t{4}, &scales) ||
                __builtin_add_overflow(bytes, scales, &bytes);
  }
  require(!overflow, ErrorCode::kInvalidArgument, "a tensor {} of {} has more than 2^63 bytes",
          shape, dtype_name(dtype));
  return bytes;
}

}  // namespace airlock
