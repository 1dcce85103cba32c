// One call under way: its tensors converted, placed, sent, received and converted back.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/model/config.h"
#include "airlock/remote/compression_policy.h"
#include "airlock/remote/ledger.h"
#include "airlock/remote/shared_arena.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"

namespace airlock {

/// Where the copies that travel are made, and how.
struct FlightMemory {
  BufferPool own;                      ///< private memory
  std::shared_ptr<SharedArena> arena;  ///< null: every tensor travels behind its message
  BufferPool shared;                   ///< of the arena
  std::int64_t shared_from = 0;        ///< bytes of the smallest tensor that uses the arena
  std::int64_t shared_up_to = std::numeric_limits<std::int64_t>::max();  ///< and of the largest
  TensorCodec codec;           ///< of the thread that begins and finishes flights
  CompressionPolicy compress;  ///< of what travels behind messages
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

  /// Checks `inputs` and `outputs` (f32 or as they travel) against the call, converts what travels
  /// in another dtype, decides what goes through shared memory and builds the message. Throws
  /// Error(kProtocol) for a call against the rules, Error(kInternal) for wrong memory.
  void begin(const ModelConfig& config, const Call& call, std::span<const ConstTensor> inputs,
             std::span<const Tensor> outputs, FlightMemory& memory, std::uint64_t id);

  /// Throws as Link::send does.
  void send(Channel& channel, const FlightMemory& memory);

  /// Takes the reply whose frame has just arrived. Throws Error(kProtocol) if it is not what the
  /// call has, and as Link::receive does.
  void receive(Channel& channel, const IncomingFrame& frame, const FlightMemory& memory);

  /// Decompresses and converts the outputs and gives all copies back. The flight can begin anew.
  /// Throws Error(kProtocol) for an output that is not soundly compressed.
  void finish(FlightMemory& memory);
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
    Buffer encoded;  ///< compressed, if it travels so
    Encoding encoding;

    /// What compression may be tried on: elements of the ring are uniform, ids are few.
    [[nodiscard]] bool may_shrink() const noexcept {
      return !place.shared() && is_compressible(tensor.spec.dtype);
    }
    /// What goes behind the message.
    [[nodiscard]] std::span<std::byte> behind() const {
      const std::int64_t bytes = encoding.compressed() ? encoding.bytes : tensor.bytes();
      return {encoding.compressed() ? encoded.data() : tensor.data,
              static_cast<std::size_t>(bytes)};
    }
    void release() noexcept {
      buffer.release();
      encoded.release();
    }
  };
  /// Tensor bytes of one direction: as the call has them, and as they travelled.
  struct Moved {
    std::int64_t raw = 0;
    std::int64_t wire = 0;
    std::int64_t overhead = 0;
  };

  void carry_input(std::size_t at, const ConstTensor& own, FlightMemory& memory);
  void compress_input(std::size_t at, FlightMemory& memory);
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
  Moved out_;
  Moved in_;
  std::uint64_t worker_ns_ = 0;
  Clock::time_point begin_, encoded_, written_, collected_, end_;
};

}  // namespace airlock
