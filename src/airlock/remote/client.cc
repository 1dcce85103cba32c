#include "airlock/remote/client.h"

#include <algorithm>
#include <array>
#include <limits>

#include "airlock/math/convert.h"
#include "airlock/remote/rules.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::optional<std::chrono::milliseconds> limit(std::chrono::milliseconds timeout) {
  return timeout.count() > 0 ? std::optional(timeout) : std::nullopt;
}

std::string hex(const FingerprintBytes& fingerprint) {
  return fmt::format("{:02x}", fmt::join(fingerprint.begin(), fingerprint.begin() + 6, ""));
}

/// The tensors of one direction of a call as they travel: the caller's own memory where the dtype
/// is the same, a pooled copy where it is not.
struct WireTensors {
  std::array<Buffer, kMaxTensors> buffers;
  std::array<Tensor, kMaxTensors> tensors;

  /// `own` is memory of the caller's for the same shape.
  void place(int i, const TensorSpec& wire, const TensorSpec& own, std::byte* data,
             const BufferPool& pool) {
    const auto at = static_cast<std::size_t>(i);
    if (wire.dtype != own.dtype) {
      buffers[at] = pool.acquire(static_cast<std::size_t>(wire.bytes()));
      data = buffers[at].data();
    }
    tensors[at] = {wire, data};
  }
};

/// Interrupts are this process's own: a worker cannot make the runner end as if by Ctrl-C.
ErrorCode believable(ErrorCode code) {
  return code == ErrorCode::kInterrupted ? ErrorCode::kConnectionLost : code;
}

void check_memory(const Call& call, const TensorSpec& wire, const TensorSpec& own,
                  std::string_view what) {
  const DType expected = wire.dtype == DType::kI64 ? DType::kI64 : DType::kF32;
  require(own.shape == wire.shape && own.dtype == expected, ErrorCode::kInternal,
          "{}: {} is {} {} in memory, expected {} {}", call, what, dtype_name(own.dtype), own.shape,
          dtype_name(expected), wire.shape);
}

}  // namespace

RemoteClient::RemoteClient(std::unique_ptr<Link> link, const ModelConfig& config,
                           const FingerprintBytes& fingerprint, const ClientOptions& options,
                           LedgerSink* ledger)
    : channel_(std::move(link), std::numeric_limits<std::int64_t>::max()),
      config_(config),
      options_(options),
      ledger_(ledger),
      began_(Clock::now()) {
  entry_.link = transport_name(channel_.link().transport());
  channel_.link().set_stall_timeout(options_.call_timeout);
  within_session("Init", [&] {
    send(FrameType::kHello, 0, builder_.build(HelloMessage{fingerprint, options_.name}), {});
    welcome_ = parse_welcome(await(FrameType::kWelcome, 0, limit(options_.hello_timeout)).message);
    if (welcome_.fingerprint != fingerprint) {
      fail(ErrorCode::kModelMismatch,
           "the worker holds another model (fingerprint {}…, ours is {}…)",
           hex(welcome_.fingerprint), hex(fingerprint));
    }
  });
}

RemoteClient::~RemoteClient() = default;

void RemoteClient::execute(const Call& call, std::span<const ConstTensor> inputs,
                           std::span<const Tensor> outputs) {
  const auto begin = Clock::now();
  const TensorSpecs reply = infer_outputs(config_, call);
  require(static_cast<int>(inputs.size()) == call.inputs.size() &&
              static_cast<int>(outputs.size()) == reply.size(),
          ErrorCode::kInternal, "{}: {} inputs and {} outputs given", call, inputs.size(),
          outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check_memory(call, reply[static_cast<int>(i)], outputs[i].spec, "an output");
  }
  WireTensors sent;
  std::array<std::span<const std::byte>, kMaxTensors> request;
  for (int i = 0; i < call.inputs.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    check_memory(call, call.inputs[i], inputs[at].spec, "an input");
    // Sent tensors are only read; the writable view serves both directions.
    sent.place(i, call.inputs[i], inputs[at].spec, const_cast<std::byte*>(inputs[at].data), pool_);
    if (sent.buffers[at].data() != nullptr) convert(inputs[at], sent.tensors[at]);
    request[at] = {sent.tensors[at].data, static_cast<std::size_t>(call.inputs[i].bytes())};
  }
  WireTensors received;
  std::array<std::span<std::byte>, kMaxTensors> parts;
  const std::uint64_t id = next_request_++;
  const auto message = builder_.build(call);
  FrameBytes out;
  Clock::time_point written;
  Clock::time_point read;
  std::uint64_t worker_ns = 0;
  const auto encoded = Clock::now();
  within_session(call, [&] {
    out = send(FrameType::kCall, id, message, std::span(request).first(inputs.size()));
    written = Clock::now();
    for (Buffer& buffer : sent.buffers) buffer.release();
    const ReplyMessage answer =
        parse_reply(await(FrameType::kReply, id, limit(options_.call_timeout)).message);
    require(answer.outputs == reply, ErrorCode::kProtocol,
            "the worker answered tensors of other shapes or dtypes than the call has");
    worker_ns = answer.worker_ns;
    for (int i = 0; i < reply.size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      received.place(i, reply[i], outputs[at].spec, outputs[at].data, pool_);
      parts[at] = {received.tensors[at].data, static_cast<std::size_t>(reply[i].bytes())};
    }
    channel_.receive_tensors(std::span(parts).first(outputs.size()));
    read = Clock::now();
  });
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (received.buffers[i].data() != nullptr) convert(received.tensors[i], outputs[i]);
  }
  const auto end = Clock::now();
  ++calls_;
  if (ledger_ == nullptr) return;

  const FrameBytes in = channel_.received_bytes();
  entry_.call = calls_ - 1;
  entry_.op = call.op;
  entry_.layer = call.layer;
  entry_.sent_bytes = out.payload;
  entry_.received_bytes = in.payload;
  entry_.overhead_bytes = out.overhead + in.overhead;
  entry_.start_ms = milliseconds(begin - began_);
  entry_.encode_ms = milliseconds(encoded - begin);
  entry_.send_ms = milliseconds(written - encoded);
  const double waited = milliseconds(read - written);
  entry_.worker_ms = std::min(static_cast<double>(worker_ns) / 1e6, waited);
  entry_.receive_ms = waited - entry_.worker_ms;
  entry_.decode_ms = milliseconds(end - read);
  entry_.total_ms = milliseconds(end - begin);
  entry_.wire_dtype = call.reply_dtype;
  ledger_->record(entry_);
}

WorkerStats RemoteClient::stats() {
  WorkerStats stats;
  within_session("Stats", [&] {
    const std::uint64_t id = next_request_++;
    send(FrameType::kStatsRequest, id, {}, {});
    stats = parse_stats(await(FrameType::kStats, id, limit(options_.call_timeout)).message);
  });
  return stats;
}

template <typename Subject, typename Body>
void RemoteClient::within_session(const Subject& subject, const Body& body) {
  try {
    body();
  } catch (const WorkerFailure& failure) {
    throw WorkerFailure(failure.code(), fmt::format("{}: {}", subject, failure.what()));
  } catch (const Error& error) {
    // The stream may be out of step: whatever the worker still sends must not be taken for answers.
    channel_.link().close();
    throw Error(error.code(), fmt::format("{}: {} (worker at {})", subject, error.what(),
                                          channel_.link().peer()));
  }
}

FrameBytes RemoteClient::send(FrameType type, std::uint64_t request_id,
                              std::span<const std::byte> message,
                              std::span<const std::span<const std::byte>> tensors) {
  try {
    return channel_.send(type, request_id, message, tensors);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kConnectionLost) throw;
    throw_parting_words();
    throw;
  }
}

void RemoteClient::throw_parting_words() {
  // What arrived before the connection broke can still be read; it must not wait for more.
  constexpr std::chrono::milliseconds kPatience{10};
  std::optional<FailureMessage> words;
  try {
    const auto frame = channel_.receive(kPatience);
    if (frame && frame->type == FrameType::kFailure) words = parse_failure(frame->message);
  } catch (const Error&) {  // none: the broken connection is the error
  }
  if (words) fail(believable(words->code), "the worker says: {}", words->text);
}

IncomingFrame RemoteClient::await(FrameType expected, std::uint64_t request_id,
                                  std::optional<std::chrono::milliseconds> timeout) {
  const auto frame = channel_.receive(timeout);
  require(frame.has_value(), ErrorCode::kConnectionLost, "the worker closed the connection");
  const bool ours = frame->request_id == request_id;
  if (frame->type == FrameType::kFailure) {
    require(frame->payload_bytes == 0, ErrorCode::kProtocol,
            "the worker sent {} bytes of tensors where none belong", frame->payload_bytes);
    const FailureMessage failure = parse_failure(frame->message);
    // A worker that refused a frame by its header does not know its id, and ends the session.
    if (!ours) fail(believable(failure.code), "the worker says: {}", failure.text);
    throw WorkerFailure(believable(failure.code), fmt::format("the worker says: {}", failure.text));
  }
  require(ours, ErrorCode::kProtocol, "the worker answered request {}, expected {}",
          frame->request_id, request_id);
  require(frame->type == expected, ErrorCode::kProtocol,
          "the worker sent a frame of type {}, expected {}", static_cast<int>(frame->type),
          static_cast<int>(expected));
  require(expected == FrameType::kReply || frame->payload_bytes == 0, ErrorCode::kProtocol,
          "the worker sent {} bytes of tensors where none belong", frame->payload_bytes);
  return *frame;
}

}  // namespace airlock
