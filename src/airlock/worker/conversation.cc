#include "airlock/worker/conversation.h"

#include <array>
#include <chrono>
#include <exception>
#include <optional>

#include "airlock/core/interrupt.h"
#include "airlock/core/log.h"
#include "airlock/core/process_memory.h"
#include "airlock/remote/rules.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

std::int64_t payload_of(const TensorSpecs& specs) {
  std::array<std::int64_t, kMaxTensors> bytes{};
  for (int i = 0; i < specs.size(); ++i) bytes[static_cast<std::size_t>(i)] = specs[i].bytes();
  return static_cast<std::int64_t>(
      payload_bytes_of(std::span(bytes).first(static_cast<std::size_t>(specs.size()))));
}

/// Pooled memory for the tensors of one direction of a call.
struct HostTensors {
  std::array<Buffer, kMaxTensors> buffers;
  std::array<Tensor, kMaxTensors> tensors;
  std::array<std::span<std::byte>, kMaxTensors> spans;
  std::size_t count = 0;

  HostTensors(const TensorSpecs& specs, const BufferPool& pool) {
    for (const TensorSpec& spec : specs) {
      buffers[count] = pool.acquire(static_cast<std::size_t>(spec.bytes()));
      tensors[count] = {spec, buffers[count].data()};
      spans[count] = buffers[count].span();
      ++count;
    }
  }
};
}  // namespace

WorkerStats ServerContext::stats() const {
  const ProcessMemory memory = process_memory();
  return {backend.weight_bytes(), sessions.kv_bytes(), memory.resident_bytes, memory.peak_bytes,
          sessions.size()};
}

Conversation::Conversation(ServerContext& context, std::unique_ptr<Link> link)
    : context_(context),
      channel_(std::move(link), static_cast<std::uint64_t>(context.options.max_payload)) {
  channel_.link().set_stall_timeout(context.options.stall_timeout);
}

void Conversation::run() noexcept {
  try {
    answer_all();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) {
      log_warning("runner {} at {}: {}", client_, channel_.link().peer(), error.what());
    }
    if (error.code() == ErrorCode::kProtocol) {
      try {
        send_failure(current_request_, error.code(), error.what());
      } catch (const Error&) {  // the link is gone as well: nobody is left to be told
      }
    }
  } catch (const std::exception& error) {
    log_error("runner {} at {}: {}", client_, channel_.link().peer(), error.what());
  }
  session_.close();
  channel_.link().close();
  if (context_.sessions.size() == 0) context_.pool.trim();
  done_ = true;
}

void Conversation::answer_all() {
  // Before Hello a silent peer may not hold a thread for long; afterwards a runner may think.
  std::optional<std::chrono::milliseconds> patience;
  if (context_.options.stall_timeout.count() > 0) patience = context_.options.stall_timeout;
  while (const auto frame = channel_.receive(session_ ? std::nullopt : patience)) {
    current_request_ = frame->request_id;
    answer(*frame);
  }
  if (session_) log_info("runner {} at {} is gone", client_, channel_.link().peer());
}

void Conversation::answer(const IncomingFrame& frame) {
  require(session_ || frame.type == FrameType::kHello, ErrorCode::kProtocol,
          "a frame of type {} came before Hello", static_cast<int>(frame.type));
  switch (frame.type) {
    case FrameType::kHello:
      return answer_hello(frame);
    case FrameType::kCall:
      return answer_call(frame);
    case FrameType::kStatsRequest:
      return answer_stats(frame);
    default:
      break;
  }
  fail(ErrorCode::kProtocol, "a runner sent a frame of type {}", static_cast<int>(frame.type));
}

void Conversation::answer_hello(const IncomingFrame& frame) {
  require(!session_ && frame.payload_bytes == 0, ErrorCode::kProtocol,
          "Hello came twice, or with tensors");
  const HelloMessage hello = parse_hello(frame.message);
  client_ = hello.client;
  if (hello.fingerprint != context_.fingerprint) {
    send_failure(frame.request_id, ErrorCode::kModelMismatch,
                 "this worker holds another model than the runner; start it with the same "
                 "checkpoint folder");
    fail(ErrorCode::kModelMismatch, "it holds another model");
  }
  if (context_.sessions.size() == 0) reset_peak_memory();
  try {
    session_ = context_.sessions.open();
  } catch (const Error& error) {
    send_failure(frame.request_id, error.code(), error.what());
    throw;
  }
  log_info("runner {} at {} opened a session", client_, channel_.link().peer());
  channel_.send(
      FrameType::kWelcome, frame.request_id,
      builder_.build(WelcomeMessage{context_.fingerprint, context_.backend.compute_dtype(),
                                    context_.backend.description(), "airlock worker"}));
}

void Conversation::answer_call(const IncomingFrame& frame) {
  const Call call = parse_call(frame.message);
  TensorSpecs replies;
  std::optional<HostTensors> inputs;
  std::optional<HostTensors> outputs;
  try {
    replies = infer_outputs(context_.backend.config(), call);
    check_payloads(call, frame, replies);
    inputs.emplace(call.inputs, context_.pool);
    outputs.emplace(replies, context_.pool);
  } catch (const Error& error) {
    // The frame itself is sound, so the stream is still in step and the session can go on.
    inputs.reset();
    channel_.discard_payload();
    return send_failure(frame.request_id, error.code(), error.what());
  }
  channel_.receive_tensors(std::span(inputs->spans).first(inputs->count));
  const auto received = Clock::now();
  try {
    const std::array<ConstTensor, kMaxTensors> sources = {inputs->tensors[0], inputs->tensors[1],
                                                          inputs->tensors[2]};
    context_.sessions.execute(session_, call, std::span(sources).first(inputs->count),
                              std::span(outputs->tensors).first(outputs->count));
  } catch (const Error& error) {
    return send_failure(frame.request_id, error.code(), error.what());
  } catch (const std::exception& error) {
    log_error("{}: {}", describe(call), error.what());
    return send_failure(frame.request_id, ErrorCode::kInternal, error.what());
  }
  inputs.reset();
  std::array<std::span<const std::byte>, kMaxTensors> parts;
  for (std::size_t i = 0; i < outputs->count; ++i) parts[i] = outputs->spans[i];
  const auto worked = std::chrono::nanoseconds(Clock::now() - received).count();
  channel_.send(FrameType::kReply, frame.request_id,
                builder_.build(ReplyMessage{static_cast<std::uint64_t>(worked), replies}),
                std::span(parts).first(outputs->count));
}

void Conversation::check_payloads(const Call& call, const IncomingFrame& frame,
                                  const TensorSpecs& replies) const {
  const std::int64_t expected = payload_of(call.inputs);
  require(static_cast<std::int64_t>(frame.payload_bytes) == expected, ErrorCode::kProtocol,
          "{}: its tensors take {} bytes, the frame carries {}", call, expected,
          frame.payload_bytes);
  const std::int64_t most = context_.options.max_payload;
  require(payload_of(replies) <= most, ErrorCode::kResourceExhausted,
          "{}: the reply would take {} bytes, at most {} are allowed; raise --max-payload or use "
          "--chunk",
          call, payload_of(replies), most);
}

void Conversation::answer_stats(const IncomingFrame& frame) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol, "a stats request came with tensors");
  channel_.send(FrameType::kStats, frame.request_id, builder_.build(context_.stats()));
}

void Conversation::send_failure(std::uint64_t request_id, ErrorCode code, std::string_view text) {
  channel_.send(FrameType::kFailure, request_id,
                builder_.build(FailureMessage{code, std::string(text)}));
}

}  // namespace airlock
