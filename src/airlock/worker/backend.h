// What a worker computes with: a processor or a GPU behind one interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/device.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/ops/call.h"

namespace airlock {

/// What a backend keeps of one sequence between calls: the KV cache of FlashAttention and
/// AttentionBlock. Freed on destruction, on any thread. The backend outlives it.
class BackendSequence {
 public:
  BackendSequence() = default;
  BackendSequence(const BackendSequence&) = delete;
  BackendSequence& operator=(const BackendSequence&) = delete;
  virtual ~BackendSequence() = default;
  /// Bytes its KV cache holds now.
  [[nodiscard]] virtual std::int64_t kv_bytes() const = 0;
  /// Bytes it would hold once `layer` has held `rows`: what a budget is checked against before a
  /// call runs.
  [[nodiscard]] virtual std::int64_t kv_bytes_with(int layer, std::int64_t rows) const = 0;
};

/// Holds the weights of one model, prepared once, and runs calls on them.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  /// dtype of the multiplications: f32, bf16 or, on a GPU, f16, or int8, which is of those with
  /// weights.
  [[nodiscard]] virtual DType compute_dtype() const = 0;
  /// Which products it has weights for; calls of others throw Error(kUnsupported).
  [[nodiscard]] virtual ProductKinds products() const { return ProductKinds::kPlain; }
  /// "cpu, bf16, avx512_core_amx, 2 threads": for people.
  [[nodiscard]] virtual std::string description() const = 0;
  /// Bytes of weights as products read them.
  [[nodiscard]] virtual std::int64_t weight_bytes() const = 0;

  /// One that holds nothing yet; it takes memory when its first rows come.
  [[nodiscard]] virtual std::unique_ptr<BackendSequence> open_sequence() = 0;

  /// A pool of memory that this backend copies from and to at its fastest, for the tensors of
  /// calls. It may outlive the backend.
  [[nodiscard]] virtual BufferPool host_memory() { return {}; }
  /// Tensors of calls may lie in `memory` from now on, until memory_gone, which comes when no call
  /// uses it. Both may come on any thread, during calls.
  virtual void memory_shared(std::span<std::byte> /*memory*/) {}
  virtual void memory_gone(std::span<std::byte> /*memory*/) noexcept {}

  /// Runs a call that passed infer_outputs, on tensors of exactly the specs of `call.inputs` and of
  /// its outputs, in the dtypes that travel. Both lie in host memory, 64-byte aligned.
  /// `sequences`: of a call that keeps_keys, those of its ranges, in order, each another; of others
  /// they are not looked at. A position past what a sequence's cache holds throws
  /// Error(kSessionLost) before any cache changes; one before its end truncates the cache there
  /// first. Ids outside the vocabulary throw Error(kInvalidArgument). A row's attention does not
  /// depend on what other ranges the call has. Allocates nothing once the shapes have been seen.
  /// One call at a time per backend.
  virtual void execute(const Call& call, std::span<BackendSequence* const> sequences,
                       std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) = 0;

  /// Rows of a product that it computes about as fast as more of them: calls of more rows are run
  /// in pieces of so many, a multiple of 64, and others in between. Never changes.
  [[nodiscard]] virtual std::int64_t rows_of_a_turn() const noexcept { return 256; }

  /// Gives up what it keeps to be fast when the same calls come again: nobody is calling. Not
  /// during a call.
  virtual void rest() noexcept {}

  /// True once a call has failed in such a way that every later one of this process would: a GPU's
  /// context does not survive a fault in a kernel. From any thread.
  [[nodiscard]] virtual bool lost() const noexcept { return false; }
};

}  // namespace airlock
