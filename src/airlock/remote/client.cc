#include "airlock/remote/client.h"

#include <algorithm>
#include <limits>

namespace airlock {
namespace {

std::optional<std::chrono::milliseconds> limit(std::chrono::milliseconds timeout) {
  return timeout.count() > 0 ? std::optional(timeout) : std::nullopt;
}

std::string hex(const FingerprintBytes& fingerprint) {
  return fmt::format("{:02x}", fmt::join(fingerprint.begin(), fingerprint.begin() + 6, ""));
}

/// Interrupts, checks and flags are this process's own: a worker cannot make the runner end as if
/// by Ctrl-C, a lie found out, or a mistake of who started it.
ErrorCode believable(ErrorCode code) {
  if (code == ErrorCode::kCheckFailed) return ErrorCode::kInternal;
  if (code == ErrorCode::kInvalidArgument) return ErrorCode::kUnsupported;
  return code == ErrorCode::kInterrupted ? ErrorCode::kConnectionLost : code;
}

}  // namespace

RemoteClient::RemoteClient(std::unique_ptr<Link> link, const ModelConfig& config,
                           const FingerprintBytes& fingerprint, const ClientOptions& options,
                           LedgerSink* ledger)
    : channel_(std::move(link), std::numeric_limits<std::int64_t>::max()),
      config_(config),
      options_(options),
      ledger_(ledger),
      began_(std::chrono::steady_clock::now()) {
  require(options.lanes >= 1 && options.lanes <= HelloMessage::kMaxLanes,
          ErrorCode::kInvalidArgument, "{} lanes, expected 1 to {}", options.lanes,
          HelloMessage::kMaxLanes);
  entry_.link = transport_name(channel_.link().transport());
  channel_.link().set_stall_timeout(options_.call_timeout);
  channel_.link().set_least_rate(options_.least_rate);
  within_session("Init", [&] { open(fingerprint); });
  const std::int64_t shared = std::min(options_.shared_bytes, welcome_.shared_bytes);
  const bool to_compress =
      options_.compress != CompressMode::kNone && channel_.link().traits().slow_memory;
  if (channel_.link().traits().shares_memory && shared > 0 && !to_compress) {
    memory_.arena = std::make_shared<SharedArena>(shared);
    memory_.shared = BufferPool(memory_.arena);
  }
  const int lanes = std::clamp(welcome_.lanes, 1, options_.lanes);
  for (int i = 0; i < lanes; ++i) flights_.push_back(std::make_unique<Flight>());
  within_session("Init", [&] { settle_transfer(); });
  lanes_ = lanes;
}

void RemoteClient::use_lanes(int lanes) {
  require(submitted_ == collected_ && lanes >= 1 && lanes <= most_lanes(), ErrorCode::kInternal,
          "{} lanes of {} with {} calls under way", lanes, most_lanes(), submitted_ - collected_);
  lanes_ = lanes;
}

void RemoteClient::start_threads() {
  threads_ = std::make_unique<Pipeline>(
      std::vector<Pipeline::Work>{[this](std::uint64_t number) { send(flight(number)); },
                                  [this](std::uint64_t number) { receive(flight(number)); }},
      [this] { channel_.link().close(); }, submitted_);
}

void RemoteClient::settle_transfer() {
  profile_ = options_.profile;
  if (!profile_ && options_.probe) {
    profile_ = probe_link(
        channel_, memory_, builder_, [this] { return next_request_++; },
        [this](std::uint64_t id) {
          return await(FrameType::kProbed, id, limit(options_.call_timeout));
        });
  }
  memory_.shared_from =
      options_.shared_from.value_or(profile_ ? profile_->shared_from : ClientOptions::kSharedFrom);
  memory_.shared_up_to = options_.shared_up_to;
  const LinkProfile link = profile_.value_or(LinkProfile{});
  memory_.compress = CompressionPolicy(options_.compress, link.send_rate, link.receive_rate);
}

RemoteClient::~RemoteClient() = default;

void RemoteClient::open(const FingerprintBytes& fingerprint) {
  try {
    channel_.send(FrameType::kHello, 0,
                  builder_.build(HelloMessage{fingerprint, options_.name, options_.lanes}));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kConnectionLost) throw_parting_words();
    throw;
  }
  welcome_ = parse_welcome(await(FrameType::kWelcome, 0, limit(options_.hello_timeout)).message);
  if (welcome_.fingerprint != fingerprint) {
    fail(ErrorCode::kModelMismatch, "the worker holds another model (fingerprint {}…, ours is {}…)",
         hex(welcome_.fingerprint), hex(fingerprint));
  }
}

CallTicket RemoteClient::submit(const Call& call, std::span<const ConstTensor> inputs,
                                std::span<const Tensor> outputs) {
  require(submitted_ - collected_ < static_cast<std::uint64_t>(lanes_), ErrorCode::kInternal,
          "{}: {} calls are under way already", call, lanes_);
  if (lanes_ > 1 && !threads_) start_threads();
  Flight& next = flight(submitted_);
  next.begin(config_, call, inputs, outputs, memory_, next_request_);
  ++next_request_;
  const CallTicket ticket{submitted_++};
  if (threads_) {
    threads_->submit();
    return ticket;
  }
  try {
    within_session(call, [&] { send(next); });
  } catch (...) {
    next.drop();
    ++collected_;
    throw;
  }
  return ticket;
}

void RemoteClient::collect(CallTicket ticket) {
  require(collected_ < submitted_ && ticket.number == collected_, ErrorCode::kInternal,
          "call {} is not the oldest under way", ticket.number);
  const std::uint64_t number = collected_++;
  Flight& oldest = flight(number);
  try {
    within_session(oldest.call(), [&] {
      if (threads_) {
        threads_->wait(number);
      } else {
        receive(oldest);
      }
      if (oldest.failure) std::rethrow_exception(oldest.failure);
      oldest.finish(memory_);
    });
  } catch (...) {
    oldest.drop();
    throw;
  }
  ++calls_;
  if (ledger_ != nullptr) {
    entry_.call = calls_ - 1;
    oldest.describe_to(entry_, began_);
    ledger_->record(entry_);
  }
  if (submitted_ == collected_) tell_ended();
}

void RemoteClient::end_sequence(std::uint32_t sequence) {
  ended_.push_back(sequence);
  if (submitted_ == collected_) tell_ended();
}

void RemoteClient::tell_ended() {
  within_session("EndSequence", [&] {
    for (; !ended_.empty(); ended_.pop_back()) {
      if (hung_up_) continue;  // the worker frees all with the session
      try {
        channel_.send(FrameType::kEndSequence, 0,
                      builder_.build(EndSequenceMessage{ended_.back()}));
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kConnectionLost) throw;
        hung_up_ = true;  // the next call finds out why
      }
    }
  });
}

void RemoteClient::abandon() noexcept {
  while (collected_ < submitted_) {
    try {
      collect(oldest());
    } catch (const std::exception&) {  // the error that made the caller give up came first
    }
  }
}

BufferPool RemoteClient::memory() {
  return memory_.arena != nullptr ? memory_.shared : memory_.own;
}

WorkerStats RemoteClient::stats() {
  WorkerStats stats;
  within_session("Stats", [&] {
    const std::uint64_t id = next_request_++;
    channel_.send(FrameType::kStatsRequest, id, {});
    stats = parse_stats(await(FrameType::kStats, id, limit(options_.call_timeout)).message);
  });
  return stats;
}

void RemoteClient::send(Flight& flight) {
  if (hung_up_) return;
  try {
    flight.send(channel_, memory_);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kConnectionLost) throw;
    // The worker may have said why before it hung up: who receives finds that, in its order.
    hung_up_ = true;
    flight.unsent = std::current_exception();
  }
}

void RemoteClient::receive(Flight& flight) {
  if (flight.unsent) {
    throw_parting_words();
    std::rethrow_exception(flight.unsent);
  }
  try {
    flight.receive(channel_, await(FrameType::kReply, flight.id(), limit(options_.call_timeout)),
                   memory_);
  } catch (const WorkerFailure&) {
    flight.failure = std::current_exception();
  }
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
  require(!channel_.link().take_descriptor(), ErrorCode::kProtocol,
          "the worker sent a descriptor that nobody asked for");
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
  const bool carries = expected == FrameType::kReply || expected == FrameType::kProbed;
  require(carries || frame->payload_bytes == 0, ErrorCode::kProtocol,
          "the worker sent {} bytes of tensors where none belong", frame->payload_bytes);
  return *frame;
}

}  // namespace airlock
