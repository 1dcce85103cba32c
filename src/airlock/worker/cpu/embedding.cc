#include "airlock/worker/cpu/embedding.h"

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/convert.h"

namespace airlock {

void embedding(const BufferPool& pool, ConstTensor table, ConstTensor ids, Tensor out) {
  const std::int64_t tokens = ids.spec.shape[0];
  const std::int64_t vocab = table.spec.shape[0];
  const std::int64_t hidden = table.spec.shape[1];
  const auto* id = ids.as<std::int64_t>();
  for (std::int64_t t = 0; t < tokens; ++t) {
    require(id[t] >= 0 && id[t] < vocab, ErrorCode::kInvalidArgument,
            "Embedding: token {} has id {}, the vocabulary has ids 0 to {}", t, id[t], vocab - 1);
  }

  // int8 takes its scale from a whole row, so it is made from gathered rows.
  const bool direct = out.spec.dtype != DType::kI8;
  const DType dtype = direct ? out.spec.dtype : table.spec.dtype;
  const TensorSpec spec{dtype, out.spec.shape};
  Buffer staging;
  if (!direct) staging = pool.acquire(static_cast<std::size_t>(spec.bytes()));
  const Tensor rows{spec, direct ? out.data : staging.data()};
  const std::int64_t from_row = hidden * static_cast<std::int64_t>(dtype_size(table.spec.dtype));
  const std::int64_t to_row = hidden * static_cast<std::int64_t>(dtype_size(dtype));
  constexpr std::int64_t kGrainRows = 64;
  parallel_for(tokens, kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      convert_elements(table.spec.dtype, table.data + id[t] * from_row, dtype,
                       rows.data + t * to_row, hidden);
    }
  });
  if (!direct) convert(rows, out);
}

}  // namespace airlock
