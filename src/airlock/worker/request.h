// One request of a runner on its way through a worker: read, computed, answered.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/codec.h"
#include "airlock/wire/message.h"
#include "airlock/worker/host_tensors.h"
#include "airlock/worker/session_table.h"

namespace airlock {

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
  void read_probe(Channel& channel, const IncomingFrame& frame, const Context& context);

  /// Decompresses what came so and runs the call, if it is one; what goes wrong becomes a failure
  /// to answer.
  void compute(SessionTable& sessions, SessionTable::Handle& session, TensorCodec& codec) noexcept;

  /// Sends the answer, compressed if the runner wants that, and gives all memory back. `stats` is
  /// asked if they are wanted. Throws as Link::send does.
  template <typename Stats>
  void answer(Channel& channel, TensorCodec& codec, const BufferPool& pool, const Stats& stats) {
    if (kind_ == Kind::kStats) {
      channel.send(FrameType::kStats, id_, builder_.build(stats()));
    } else {
      answer_tensors(channel, codec, pool);
    }
  }

  /// Bytes it holds between read and answer.
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  enum class Kind : std::uint8_t { kCall, kStats, kProbe };

  void start(Kind kind, const IncomingFrame& frame) noexcept;
  /// Where there is no memory for `text`, what there is to say is short.
  void refuse(ErrorCode code, std::string_view text) noexcept;
  /// Refuses for what is being handled. Only in a catch clause.
  void refuse_for_exception() noexcept;
  /// Finds memory for the tensors of a frame whose message was sound, and reads them. What cannot
  /// be had becomes a failure to answer: the stream is still in step and the session can go on.
  /// `subject` names the request.
  template <typename Subject>
  void take_in(Channel& channel, const IncomingFrame& frame, const Subject& subject,
               const TensorSpecs& inputs, const Transfer& transfer, const Context& context);
  void run(SessionTable& sessions, SessionTable::Handle& session);
  void answer_tensors(Channel& channel, TensorCodec& codec, const BufferPool& pool);

  Kind kind_ = Kind::kCall;
  std::uint64_t id_ = 0;
  Call call_;
  TensorSpecs replies_;
  HostTensors inputs_;
  HostTensors outputs_;
  Compression reply_compression_ = Compression::kNone;
  std::int64_t bytes_ = 0;
  std::uint64_t worker_ns_ = 0;
  std::optional<FailureMessage> failure_;
  MessageBuilder builder_;
};

}  // namespace airlock
