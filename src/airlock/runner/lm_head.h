// The LM head in the runner, for plans whose logits must not be seen by the worker.
#pragma once

#include <cstdint>
#include <memory>

#include "airlock/core/dtype.h"
#include "airlock/model/checkpoint.h"

namespace airlock {

/// The [vocab, hidden] matrix, packed where that pays (see kernels/weight_matrix.h): half a
/// gigabyte for LLaMA 3.2-1B, so a model has one for each dtype (RunnerModel::lm_head).
struct LmHeadMatrix;

/// Takes the LM head of `checkpoint`. `dtype`: kF32, or kBF16 (f32 where the
/// processor has no bf16 products).
std::shared_ptr<const LmHeadMatrix> load_lm_head(const Checkpoint& checkpoint, DType dtype);

/// Products with the matrix, and the working memory they take. Not thread-safe.
class RunnerLmHead {
 public:
  explicit RunnerLmHead(std::shared_ptr<const LmHeadMatrix> matrix);
  ~RunnerLmHead();
  RunnerLmHead(const RunnerLmHead&) = delete;
  RunnerLmHead& operator=(const RunnerLmHead&) = delete;

  /// logits: [rows, vocab] f32 = x: [rows, hidden] f32 times the matrix transposed.
  void run(const float* x, std::int64_t rows, float* logits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace airlock
