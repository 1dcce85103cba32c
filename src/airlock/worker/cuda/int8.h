// Products of int8 rows, each with a scale: quantized as math/convert.h does, multiplied in whole
// numbers by cuBLASLt, and scaled.
#pragma once

#include <span>

#include "airlock/worker/cuda/context.h"
#include "airlock/worker/cuda/weights.h"

namespace airlock::cuda {

/// `from` as int8 rows with memory for padding: row_stride() elements apart, padded to kInt8Tokens
/// rows. Its own memory if it is that.
DeviceRows quantized(const Context& context, const DeviceRows& from);

/// outs [rows, ...], side by side the columns of x [rows, w.in] w^T, for x of quantized().
void multiply_int8(const Context& context, const DeviceRows& x, const MatrixRows& w,
                   std::span<const DeviceRows> outs);

}  // namespace airlock::cuda
