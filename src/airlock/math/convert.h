// Conversions between element types, for the wire and for kernels: vectorised and threaded.
// Results are the same bits on every processor.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"

namespace airlock {

/// Converts `from` into `to`: any pair of f32, bf16, f16 and int8, same shape; the two must not
/// overlap. Pointers need only the alignment of their element. Equal dtypes are copied.
///
/// Floats round to nearest, ties to even; what overflows becomes infinity; infinities stay, NaN
/// stays NaN (quiet, sign kept). To int8 each row (last dimension) gets the scale max|x| / 127 over
/// its finite values and round(x / scale); a row of zeros gets scale 0. int8 has no infinity or
/// NaN: infinities become +-127, NaN becomes 0.
/// From int8: element * scale, whatever the scale (a peer's NaN or infinity is passed through).
/// Throws Error(kInvalidArgument) for other dtypes or unequal shapes. Thread-safe.
void convert(ConstTensor from, Tensor to);

/// The same for `count` contiguous elements of f32, bf16 or f16, on the calling thread alone.
void convert_elements(DType from_dtype, const void* from, DType to_dtype, void* to,
                      std::int64_t count);

}  // namespace airlock
