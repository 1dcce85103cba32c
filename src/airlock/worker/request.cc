#include "airlock/worker/request.h"

#include <chrono>
#include <exception>

#include "airlock/core/log.h"
#include "airlock/remote/rules.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

/// Bytes of the tensors that travel behind the message, laid out as a frame lays them out.
std::int64_t inline_payload(const TensorSpecs& specs,
                            const std::array<Place, kMaxTensors>& places) {
  std::array<std::int64_t, kMaxTensors> bytes{};
  std::size_t count = 0;
  for (int i = 0; i < specs.size(); ++i) {
    if (!places[static_cast<std::size_t>(i)].shared()) bytes[count++] = specs[i].bytes();
  }
  return static_cast<std::int64_t>(payload_bytes_of(std::span(bytes).first(count)));
}

void check_payloads(const Call& call, const IncomingFrame& frame, const Transfer& transfer,
                    const TensorSpecs& replies, std::int64_t most) {
  const std::int64_t expected = inline_payload(call.inputs, transfer.inputs);
  require(static_cast<std::int64_t>(frame.payload_bytes) == expected, ErrorCode::kProtocol,
          "{}: its tensors take {} bytes, the frame carries {}", call, expected,
          frame.payload_bytes);
  const std::int64_t reply = total_bytes(replies);
  require(reply <= most, ErrorCode::kResourceExhausted,
          "{}: the reply would take {} bytes, at most {} are allowed; raise --max-payload or use "
          "--chunk",
          call, reply, most);
}

}  // namespace

void HostTensors::place(const TensorSpecs& specs, const std::array<Place, kMaxTensors>& places,
                        const SharedSegments& segments, const BufferPool& pool) {
  count_ = part_count_ = 0;
  for (const TensorSpec& spec : specs) {
    if (places[count_].shared()) {
      tensors_[count_] = segments.find(places[count_], spec);
    } else {
      buffers_[count_] = pool.acquire(static_cast<std::size_t>(spec.bytes()));
      tensors_[count_] = {spec, buffers_[count_].data()};
      parts_[part_count_++] = buffers_[count_].span();
    }
    ++count_;
  }
}

void HostTensors::release() noexcept {
  for (Buffer& buffer : buffers_) buffer.release();
  count_ = part_count_ = 0;
}

void Request::start(Kind kind, const IncomingFrame& frame) noexcept {
  kind_ = kind;
  id_ = frame.request_id;
  bytes_ = 0;
  worker_ns_ = 0;
  failure_.reset();
}

void Request::read_call(Channel& channel, const IncomingFrame& frame, const Context& context) {
  start(Kind::kCall, frame);
  const auto [call, transfer] = parse_call_message(frame.message);
  call_ = call;
  try {
    replies_ = infer_outputs(context.config, call_);
    check_payloads(call_, frame, transfer, replies_, context.max_payload);
    inputs_.place(call_.inputs, transfer.inputs, context.segments, context.pool);
    outputs_.place(replies_, transfer.outputs, context.segments, context.pool);
  } catch (const Error& error) {
    // The frame itself is sound, so the stream is still in step and the session can go on.
    inputs_.release();
    outputs_.release();
    channel.discard_payload();
    return refuse(error.code(), error.what());
  }
  bytes_ = total_bytes(call_.inputs) + total_bytes(replies_);
  channel.receive_tensors(inputs_.inline_parts());
}

void Request::read_stats(const IncomingFrame& frame) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol, "a stats request came with tensors");
  start(Kind::kStats, frame);
}

void Request::compute(SessionTable& sessions, SessionTable::Handle& session) noexcept {
  if (kind_ != Kind::kCall || failure_) return;
  const auto began = Clock::now();
  const auto inputs = inputs_.tensors();
  std::array<ConstTensor, kMaxTensors> sources;
  std::copy(inputs.begin(), inputs.end(), sources.begin());
  try {
    sessions.execute(session, call_, std::span(sources).first(inputs.size()), outputs_.tensors());
  } catch (const Error& error) {
    refuse(error.code(), error.what());
  } catch (const std::exception& error) {
    log_error("{}: {}", describe(call_), error.what());
    refuse(ErrorCode::kInternal, error.what());
  }
  inputs_.release();
  worker_ns_ = static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - began).count());
}

void Request::answer_tensors(Channel& channel) {
  if (failure_) {
    channel.send(FrameType::kFailure, id_, builder_.build(*failure_));
  } else {
    std::array<std::span<const std::byte>, kMaxTensors> parts;
    const auto filled = outputs_.inline_parts();
    std::copy(filled.begin(), filled.end(), parts.begin());
    channel.send(FrameType::kReply, id_, builder_.build(ReplyMessage{worker_ns_, replies_}),
                 std::span(parts).first(filled.size()));
  }
  inputs_.release();
  outputs_.release();
}

}  // namespace airlock
