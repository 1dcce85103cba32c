#include "airlock/worker/request.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <numeric>

#include "airlock/core/log.h"
#include "airlock/ops/rules.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

std::uint64_t nanoseconds_since(Clock::time_point began) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - began).count());
}

/// Bytes of the tensors that travel behind the message, laid out as a frame lays them out.
std::int64_t inline_payload(const TensorSpecs& specs, const Transfer& transfer) {
  std::array<std::int64_t, kMaxTensors> bytes{};
  std::size_t count = 0;
  for (int i = 0; i < specs.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Encoding& encoding = transfer.input_encodings[at];
    require(!encoding.compressed() ||
                (!transfer.inputs[at].shared() &&
                 encoding.bytes <= static_cast<std::int64_t>(encoded_bound(specs[i]))),
            ErrorCode::kProtocol, "a tensor {} comes compressed in {} bytes", specs[i].shape,
            encoding.bytes);
    if (transfer.inputs[at].shared()) continue;
    bytes[count++] = encoding.compressed() ? encoding.bytes : specs[i].bytes();
  }
  return static_cast<std::int64_t>(
      payload_bytes_of(std::span(bytes).first(count), layout_of(transfer.input_encodings)));
}

/// `call` names the request in errors.
template <typename Subject>
void check_payloads(const Subject& call, const IncomingFrame& frame, const TensorSpecs& inputs,
                    const Transfer& transfer, const TensorSpecs& replies, std::int64_t most) {
  const std::int64_t expected = inline_payload(inputs, transfer);
  require(static_cast<std::int64_t>(frame.payload_bytes) == expected, ErrorCode::kProtocol,
          "{}: its tensors take {} bytes, the frame carries {}", call, expected,
          frame.payload_bytes);
  for (const std::int64_t bytes : {total_bytes(inputs), total_bytes(replies)}) {
    require(bytes <= most, ErrorCode::kResourceExhausted,
            "{}: its tensors would take {} bytes, at most {} are allowed; raise --max-payload or "
            "use --chunk",
            call, bytes, most);
  }
}

/// The tensor that `bytes` of a probe stand for.
TensorSpecs probe_specs(std::int64_t bytes) {
  if (bytes == 0) return {};
  return {{DType::kF32, {bytes / 4}}};
}

/// Reads and writes every byte, as a kernel would.
void touch(const HostTensors& inputs, const HostTensors& outputs) {
  std::uint32_t sum = 0;
  for (const Tensor& tensor : inputs.tensors()) {
    const auto words = std::span(tensor.as<std::uint32_t>(),
                                 static_cast<std::size_t>(tensor.bytes()) / sizeof sum);
    sum = std::accumulate(words.begin(), words.end(), sum);
  }
  for (const Tensor& tensor : outputs.tensors()) {
    std::fill_n(tensor.as<std::uint32_t>(), static_cast<std::size_t>(tensor.bytes()) / sizeof sum,
                sum);
  }
}

}  // namespace

void Request::start(Kind kind, const IncomingFrame& frame) noexcept {
  kind_ = kind;
  id_ = frame.request_id;
  bytes_ = 0;
  worker_ns_ = 0;
  reply_compression_ = Compression::kNone;
  failure_.reset();
}

void Request::refuse(ErrorCode code, std::string_view text) noexcept {
  FailureMessage& failure = failure_.emplace();
  failure.code = code;
  try {
    failure.text = text;
  } catch (const std::bad_alloc&) {
    failure.text = "no memory";  // fits into the string itself
  }
}

void Request::refuse_for_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    refuse(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    refuse(ErrorCode::kResourceExhausted, "the worker has no memory for this call");
  } catch (const std::exception& error) {
    log_error("{}: {}", op_name(call_.op), error.what());
    refuse(ErrorCode::kInternal, error.what());
  } catch (...) {
    refuse(ErrorCode::kInternal, "unknown error");
  }
}

template <typename Subject>
void Request::take_in(Channel& channel, const IncomingFrame& frame, const Subject& subject,
                      const TensorSpecs& inputs, const Transfer& transfer, const Context& context) {
  try {
    check_payloads(subject, frame, inputs, transfer, replies_, context.max_payload);
    inputs_.place(inputs, transfer.inputs, transfer.input_encodings, context.segments,
                  context.pool);
    outputs_.place(replies_, transfer.outputs, {}, context.segments, context.pool);
  } catch (const std::exception&) {
    // The frame itself is sound, so the stream is still in step and the session can go on.
    refuse_for_exception();
    inputs_.release();
    outputs_.release();
    return channel.discard_payload();
  }
  bytes_ = total_bytes(inputs) + total_bytes(replies_);
  channel.receive_tensors(inputs_.inline_parts(), layout_of(transfer.input_encodings));
}

void Request::read_call(Channel& channel, const IncomingFrame& frame, const Context& context) {
  start(Kind::kCall, frame);
  const auto [call, transfer] = parse_call_message(frame.message);
  call_ = call;
  reply_compression_ = transfer.reply_compression;
  try {
    replies_ = infer_outputs(context.config, call_);
  } catch (const Error& error) {
    channel.discard_payload();
    return refuse(error.code(), error.what());
  }
  take_in(channel, frame, call_, call_.inputs, transfer, context);
}

void Request::read_probe(Channel& channel, const IncomingFrame& frame, const Context& context) {
  start(Kind::kProbe, frame);
  const ProbeMessage probe = parse_probe(frame.message);
  Transfer transfer;
  transfer.inputs[0] = probe.place;
  transfer.outputs[0] = probe.reply_place;
  replies_ = probe_specs(probe.reply_bytes);
  take_in(channel, frame, "Probe", probe_specs(probe.bytes), transfer, context);
}

void Request::read_stats(const IncomingFrame& frame) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol, "a stats request came with tensors");
  start(Kind::kStats, frame);
}

void Request::run(SessionTable& sessions, SessionTable::Handle& session) {
  if (kind_ == Kind::kProbe) return touch(inputs_, outputs_);
  const auto inputs = inputs_.tensors();
  std::array<ConstTensor, kMaxTensors> sources;
  std::copy(inputs.begin(), inputs.end(), sources.begin());
  sessions.execute(session, call_, std::span(sources).first(inputs.size()), outputs_.tensors());
}

void Request::compute(SessionTable& sessions, SessionTable::Handle& session,
                      TensorCodec& codec) noexcept {
  if (kind_ == Kind::kStats || failure_) return;
  const auto began = Clock::now();
  try {
    inputs_.decode(codec);
    run(sessions, session);
  } catch (...) {
    refuse_for_exception();
  }
  inputs_.release();
  worker_ns_ += nanoseconds_since(began);
}

void Request::answer_tensors(Channel& channel, TensorCodec& codec, const BufferPool& pool) {
  if (failure_) {
    channel.send(FrameType::kFailure, id_, builder_.build(*failure_));
  } else {
    const auto began = Clock::now();
    outputs_.encode(codec, reply_compression_, pool);
    if (reply_compression_ != Compression::kNone) worker_ns_ += nanoseconds_since(began);
    std::array<std::span<const std::byte>, kMaxTensors> parts;
    const auto filled = outputs_.inline_parts();
    std::copy(filled.begin(), filled.end(), parts.begin());
    const std::span tensors = std::span(parts).first(filled.size());
    if (kind_ == Kind::kProbe) {
      channel.send(FrameType::kProbed, id_, {}, tensors);
    } else {
      channel.send(FrameType::kReply, id_,
                   builder_.build(ReplyMessage{worker_ns_, replies_, outputs_.encodings()}),
                   tensors, layout_of(outputs_.encodings()));
    }
  }
  inputs_.release();
  outputs_.release();
}

}  // namespace airlock
