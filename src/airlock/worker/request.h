// One request of a runner on its way through a worker: read, computed, answered.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"
#include "airlock/worker/session_table.h"
#include "airlock/worker/shared_segments.h"

namespace airlock {

/// The tensors of one direction of a call: pooled memory, or the runner's in shared memory.
class HostTensors {
 public:
  /// Finds or makes memory for each. Throws what SharedSegments::find and BufferPool throw.
  void place(const TensorSpecs& specs, const std::array<Place, kMaxTensors>& places,
             const SharedSegments& segments, const BufferPool& pool);
  /// Gives the memory back.
  void release() noexcept;

  [[nodiscard]] std::span<const Tensor> tensors() const noexcept {
    return {tensors_.data(), count_};
  }
  /// Those that travel behind their message, in order.
  [[nodiscard]] std::span<const std::span<std::byte>> inline_parts() const noexcept {
    return {parts_.data(), part_count_};
  }

 private:
  std::array<Buffer, kMaxTensors> buffers_;
  std::array<Tensor, kMaxTensors> tensors_;
  std::array<std::span<std::byte>, kMaxTensors> parts_;
  std::size_t count_ = 0;
  std::size_t part_count_ = 0;
};

/// Reused for request after request without allocating. Its stages may run on different threads,
/// one after the other.
class Request {
 public:
  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  /// What checks and memory of a call need.
  struct Context {
    const ModelConfig& config;
    const BufferPool& pool;
    const SharedSegments& segments;
    std::int64_t max_payload = 0;
  };

  /// Each reads a frame of its kind with all that comes with it. A call that is refused becomes
  /// a failure to answer. Throws as Channel::receive_tensors does, and Error(kProtocol) for
  /// a malformed message.
  void read_call(Channel& channel, const IncomingFrame& frame, const Context& context);
  void read_stats(const IncomingFrame& frame);

  /// Runs the call, if it is one; what goes wrong becomes a failure to answer.
  void compute(SessionTable& sessions, SessionTable::Handle& session) noexcept;

  /// Sends the answer and gives all memory back. `stats` is asked if they are wanted. Throws as
  /// Link::send does.
  template <typename Stats>
  void answer(Channel& channel, const Stats& stats) {
    if (kind_ == Kind::kStats) {
      channel.send(FrameType::kStats, id_, builder_.build(stats()));
    } else {
      answer_tensors(channel);
    }
  }

  /// Bytes it holds between read and answer.
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  enum class Kind : std::uint8_t { kCall, kStats };

  void start(Kind kind, const IncomingFrame& frame) noexcept;
  void refuse(ErrorCode code, std::string_view text) { failure_ = {code, std::string(text)}; }
  void answer_tensors(Channel& channel);

  Kind kind_ = Kind::kCall;
  std::uint64_t id_ = 0;
  Call call_;
  TensorSpecs replies_;
  HostTensors inputs_;
  HostTensors outputs_;
  std::int64_t bytes_ = 0;
  std::uint64_t worker_ns_ = 0;
  std::optional<FailureMessage> failure_;
  MessageBuilder builder_;
};

}  // namespace airlock
