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

/// What a wait was for, as errors name it; built only when one is thrown.
std::string subject(const Call* call, FrameType expected) {
  if (call != nullptr) return describe(*call);
  return expected == FrameType::kWelcome ? "Init" : "Stats";
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
  channel_.send(FrameType::kHello, 0, builder_.build(HelloMessage{fingerprint, options_.name}));
  const IncomingFrame frame = await(FrameType::kWelcome, 0, nullptr, options_.hello_timeout);
  welcome_ = parse_welcome(frame.message);
  require(welcome_.fingerprint == fingerprint, ErrorCode::kModelMismatch,
          "the worker at {} holds another model (fingerprint {}…, ours is {}…)",
          channel_.link().peer(), hex(welcome_.fingerprint), hex(fingerprint));
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
  const std::uint64_t id = next_request_++;
  const auto message = builder_.build(call);
  const auto encoded = Clock::now();
  const FrameBytes out =
      channel_.send(FrameType::kCall, id, message, std::span(request).first(inputs.size()));
  const auto written = Clock::now();
  for (Buffer& buffer : sent.buffers) buffer.release();

  const IncomingFrame frame = await(FrameType::kReply, id, &call, options_.call_timeout);
  const ReplyMessage answer = parse_reply(frame.message);
  require(answer.outputs == reply, ErrorCode::kProtocol,
          "{}: the worker answered tensors of other shapes or dtypes than the call has", call);
  WireTensors received;
  std::array<std::span<std::byte>, kMaxTensors> parts;
  for (int i = 0; i < reply.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    check_memory(call, reply[i], outputs[at].spec, "an output");
    received.place(i, reply[i], outputs[at].spec, outputs[at].data, pool_);
    parts[at] = {received.tensors[at].data, static_cast<std::size_t>(reply[i].bytes())};
  }
  channel_.receive_tensors(std::span(parts).first(outputs.size()));
  const auto read = Clock::now();
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
  entry_.worker_ms = std::min(static_cast<double>(answer.worker_ns) / 1e6, waited);
  entry_.receive_ms = waited - entry_.worker_ms;
  entry_.decode_ms = milliseconds(end - read);
  entry_.total_ms = milliseconds(end - begin);
  entry_.wire_dtype = call.reply_dtype;
  ledger_->record(entry_);
}

WorkerStats RemoteClient::stats() {
  const std::uint64_t id = next_request_++;
  channel_.send(FrameType::kStatsRequest, id, {});
  return parse_stats(await(FrameType::kStats, id, nullptr, options_.call_timeout).message);
}

IncomingFrame RemoteClient::await(FrameType expected, std::uint64_t request_id, const Call* call,
                                  std::chrono::milliseconds timeout) {
  try {
    const auto frame = channel_.receive(limit(timeout));
    require(frame.has_value(), ErrorCode::kConnectionLost, "the worker closed the connection");
    require(frame->request_id == request_id, ErrorCode::kProtocol,
            "the worker answered request {}, expected {}", frame->request_id, request_id);
    if (frame->type == FrameType::kFailure) fail_with(*frame, subject(call, expected));
    require(frame->type == expected, ErrorCode::kProtocol,
            "the worker sent a frame of type {}, expected {}", static_cast<int>(frame->type),
            static_cast<int>(expected));
    require(expected == FrameType::kReply || frame->payload_bytes == 0, ErrorCode::kProtocol,
            "the worker sent {} bytes of tensors where none belong", frame->payload_bytes);
    return *frame;
  } catch (const WorkerFailure&) {
    throw;
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {} (worker at {})", subject(call, expected),
                                          error.what(), channel_.link().peer()));
  }
}

void RemoteClient::fail_with(const IncomingFrame& frame, std::string_view during) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol,
          "the worker sent {} bytes of tensors with a failure", frame.payload_bytes);
  const FailureMessage failure = parse_failure(frame.message);
  throw WorkerFailure(failure.code, fmt::format("{}: the worker says: {}", during, failure.text));
}

}  // namespace airlock
