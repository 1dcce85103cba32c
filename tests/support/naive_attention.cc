#include "tests/support/naive_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "airlock/core/threads.h"

namespace airlock::testing {
namespace {
using Matrix = std::vector<double>;

/// Rows of one head as a dense [tokens, head_dim] matrix.
Matrix read_head(DType dtype, const ConstHeadsView& view, std::int64_t head, std::int64_t tokens,
                 std::int64_t head_dim) {
  Matrix matrix;
  matrix.reserve(static_cast<std::size_t>(tokens * head_dim));
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t row = t * view.token_stride + head * view.head_stride;
    for (std::int64_t i = row; i < row + head_dim; ++i) {
      matrix.push_back(dtype == DType::kF32 ? static_cast<const float*>(view.data)[i]
                                            : static_cast<const BF16*>(view.data)[i].to_float());
    }
  }
  return matrix;
}

void write_row(const FlashAttentionArgs& args, std::int64_t token, std::int64_t head,
               const Matrix& row) {
  const std::int64_t at = token * args.out.token_stride + head * args.out.head_stride;
  for (std::int64_t d = 0; d < args.head_dim; ++d) {
    const auto value = static_cast<float>(row[static_cast<std::size_t>(d)]);
    if (args.out_dtype == DType::kF32) {
      static_cast<float*>(args.out.data)[at + d] = value;
    } else {
      static_cast<BF16*>(args.out.data)[at + d] = BF16::from_float(value);
    }
  }
}

/// scores[t][j] = scale * q[t] . k[j] for the keys that row t attends to.
Matrix score(const FlashAttentionArgs& args, const Matrix& q, const Matrix& k) {
  const std::int64_t context = args.position + args.tokens;
  Matrix scores(static_cast<std::size_t>(args.tokens * context));
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    for (std::int64_t j = 0; j <= args.position + t; ++j) {
      double sum = 0;
      const double* a = q.data() + t * args.head_dim;
      const double* b = k.data() + j * args.head_dim;
      for (std::int64_t d = 0; d < args.head_dim; ++d) sum += a[d] * b[d];
      scores[static_cast<std::size_t>(t * context + j)] = sum * static_cast<double>(args.scale);
    }
  }
  return scores;
}

void attend(const FlashAttentionArgs& args, std::int64_t head) {
  const std::int64_t context = args.position + args.tokens;
  const std::int64_t kv_head = head / (args.heads / args.kv_heads);
  const Matrix v = read_head(args.dtype, args.v, kv_head, context, args.head_dim);
  Matrix scores = score(args, read_head(args.dtype, args.q, head, args.tokens, args.head_dim),
                        read_head(args.dtype, args.k, kv_head, context, args.head_dim));
  Matrix row(static_cast<std::size_t>(args.head_dim));
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    double* weights = scores.data() + t * context;
    const std::int64_t attended = args.position + t + 1;
    const double top = *std::max_element(weights, weights + attended);
    double sum = 0;
    for (std::int64_t j = 0; j < attended; ++j) sum += weights[j] = std::exp(weights[j] - top);
    std::ranges::fill(row, 0);
    for (std::int64_t j = 0; j < attended; ++j) {
      const double weight = weights[j] / sum;
      const double* value = v.data() + j * args.head_dim;
      for (std::size_t d = 0; d < row.size(); ++d) row[d] += weight * value[d];
    }
    write_row(args, t, head, row);
  }
}
}  // namespace

void naive_attention(const FlashAttentionArgs& args) {
  parallel_for(args.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) attend(args, head);
  });
}

}  // namespace airlock::testing
