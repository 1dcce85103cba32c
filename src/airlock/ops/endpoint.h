// Where an executor's calls go, and where it may put what they carry: the two kept apart, so that
// no decorator that changes tensors can lead plaintext into memory that the worker maps.
#pragma once

#include <concepts>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/core/error.h"
#include "airlock/ops/forwarding_operators.h"

namespace airlock {

/// Memory of a link's own for tensors that cross as they lie there.
class TransferMemory {
 public:
  TransferMemory() = default;
  TransferMemory(const TransferMemory&) = delete;
  TransferMemory& operator=(const TransferMemory&) = delete;
  virtual ~TransferMemory() = default;

  /// The dtype in which a tensor of a call that travels as `wire` needs no conversion. What a
  /// caller only hands from one call to the next, it best keeps so.
  [[nodiscard]] virtual DType native_dtype(DType wire) const noexcept = 0;
  /// Memory in which tensors of their native dtype need no copy to be sent or received. The peer
  /// may be able to read and change it at any time: nothing but what crosses belongs there.
  [[nodiscard]] virtual BufferPool memory() = 0;
};

/// The top of a stack of Operators, with the transfer memory below it for as long as everything
/// between hands tensors on untouched. A view: what it names must outlive it.
class Endpoint {
 public:
  /// Calls alone: tensors lie in the caller's own memory.
  Endpoint(Operators& operators) noexcept : operators_(&operators) {}  // NOLINT: a view
  /// The bottom of a stack, with the memory of its link.
  template <typename Bottom>
  requires std::derived_from<Bottom, Operators> && std::derived_from<Bottom, TransferMemory> &&
      (!std::derived_from<Bottom, ForwardingOperators>)Endpoint(Bottom& bottom) noexcept
      : operators_(&bottom), memory_(&bottom) {}  // NOLINT: a view

  /// This endpoint seen through `decorator`, which must decorate it. Transfer memory stays in reach
  /// only behind decorators that cannot change a tensor.
  [[nodiscard]] Endpoint through(TransparentOperators& decorator) const {
    return Endpoint(decorated(decorator), memory_);
  }
  [[nodiscard]] Endpoint through(ForwardingOperators& decorator) const {
    return Endpoint(decorated(decorator), nullptr);
  }

  [[nodiscard]] Operators& operators() const noexcept { return *operators_; }
  [[nodiscard]] DType native_dtype(DType wire) const noexcept {
    return memory_ != nullptr ? memory_->native_dtype(wire) : DType::kF32;
  }
  [[nodiscard]] BufferPool memory() const {
    return memory_ != nullptr ? memory_->memory() : BufferPool();
  }

 private:
  Endpoint(Operators& operators, TransferMemory* memory) noexcept
      : operators_(&operators), memory_(memory) {}
  [[nodiscard]] Operators& decorated(ForwardingOperators& decorator) const {
    require(&decorator.next() == operators_, ErrorCode::kInternal,
            "a decorator of other operators than the endpoint's");
    return decorator;
  }

  Operators* operators_;
  TransferMemory* memory_ = nullptr;
};

}  // namespace airlock
