// One call under way: its tensors converted, placed, sent, received and converted back.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/model/config.h"
#include "airlock/remote/ledger.h"
#include "airlock/remote/shared_arena.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"

namespace airlock {

/// Where the copies that travel are made.
struct FlightMemory {
  BufferPool own;                      ///< private memory
  std::shared_ptr<SharedArena> arena;  ///< null: every tensor travels behind its message
  BufferPool shared;                   ///< of the arena
  std::int64_t inline_below = 0;       ///< bytes below which a tensor does not use the arena
};

/// Tells the worker of a segment it has not been told of. Throws as Link::send does.
void announce(Channel& channel, SharedArena& arena, std::uint16_t segment, MessageBuilder& builder);

/// The stages of one call, in this order; reused for call after call without allocating. begin and
/// finish belong to the thread that computes; send and receive may each run on another one.
class Flight {
 public:
  Flight() = default;
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  /// Checks `inputs` and `outputs` (f32, ids i64) against the call, converts what travels in
  /// another dtype, decides what goes through shared memory and builds the message.
  /// Throws Error(kProtocol) for a call against the rules, Error(kInternal) for wrong memory.
  void begin(const ModelConfig& config, const Call& call, std::span<const ConstTensor> inputs,
             std::span<const Tensor> outputs, const FlightMemory& memory, std::uint64_t id);

  /// Throws as Link::send does.
  void send(Channel& channel, const FlightMemory& memory);

  /// Takes the reply whose frame has just arrived. Throws Error(kProtocol) if it is not what the
  /// call has, and as Link::receive does.
  void receive(Channel& channel, const IncomingFrame& frame, const FlightMemory& memory);

  /// Converts the outputs and gives all copies back. The flight can begin anew.
  void finish();
  /// Gives all copies back without using what arrived.
  void drop() noexcept;

  [[nodiscard]] const Call& call() const noexcept { return call_; }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

  /// The ledger's view of a finished flight; `zero` is when the ledger began. Leaves `call` and
  /// `link` alone.
  void describe_to(LedgerEntry& entry, std::chrono::steady_clock::time_point zero) const;

  /// What the worker answered instead of a reply.
  std::exception_ptr failure;
  /// Why it could not be sent in full.
  std::exception_ptr unsent;

 private:
  using Clock = std::chrono::steady_clock;

  /// A tensor as it travels: the caller's own memory if the dtype is the same and it need not be
  /// moved, a pooled copy if not.
  struct Carried {
    Buffer buffer;
    Tensor tensor;
    Place place;
  };

  void carry_input(std::size_t at, const ConstTensor& own, const FlightMemory& memory);
  void carry_output(std::size_t at, const FlightMemory& memory);
  /// Finds shared memory for a tensor that may travel through it; else it stays `own`.
  static void place(Carried& carried, const TensorSpec& wire, std::byte* own, bool same_dtype,
                    const FlightMemory& memory);

  Call call_;
  TensorSpecs reply_;
  std::uint64_t id_ = 0;
  Transfer transfer_;
  std::array<Carried, kMaxTensors> inputs_;
  std::array<Carried, kMaxTensors> outputs_;
  std::array<Tensor, kMaxTensors> wanted_;  ///< the caller's outputs
  MessageBuilder builder_;
  MessageBuilder share_builder_;
  std::span<const std::byte> message_;
  FrameBytes out_;
  FrameBytes in_;
  std::uint64_t worker_ns_ = 0;
  Clock::time_point begin_, encoded_, written_, collected_, end_;
};

}  // namespace airlock
