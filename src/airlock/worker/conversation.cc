#include "airlock/worker/conversation.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <system_error>

#include "airlock/core/denormals.h"
#include "airlock/core/log.h"
#include "airlock/core/memory_budget.h"
#include "airlock/core/process_memory.h"
#include "airlock/core/threads.h"
#include "airlock/link/wait.h"

namespace airlock {
namespace {

std::chrono::milliseconds lesser(std::chrono::milliseconds a, std::chrono::milliseconds b) {
  if (a.count() == 0 || b.count() == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

WorkerStats ServerContext::stats() const {
  const ProcessMemory memory = process_memory();
  return {backend.weight_bytes(), sessions.kv_bytes(), memory.resident_bytes, memory.peak_bytes,
          sessions.size()};
}

WorkerStats ServerContext::stats_for(const SessionTable::Handle& session) const {
  if (is_private) return stats();
  return {backend.weight_bytes(), sessions.kv_bytes(session), 0, 0, 1};
}

void ServerContext::rest() noexcept {
  if (sessions.size() > 0) return;
  sessions.rest();
  pool.trim();
  process_budget().reclaim(MemoryBudget::kUnlimited);
  release_free_heap();
}

Conversation::Conversation(ServerContext& context, std::unique_ptr<Link> link)
    : context_(context),
      channel_(std::move(link), static_cast<std::uint64_t>(context.options.max_payload)),
      segments_(context.options.shared_bytes, &context.backend) {
  channel_.link().set_stall_timeout(
      lesser(context.options.stall_timeout, context.options.hello_timeout));
  channel_.link().set_least_rate(context.options.least_rate);
  requests_.push_back(std::make_unique<Request>());
}

void Conversation::run() noexcept {
  flush_denormals();
  try {
    read_all();
  } catch (...) {
    end_for_exception();
  }
  threads_.reset();
  session_.close();
  channel_.link().close();
  requests_.clear();
  decoder_.forget();
  encoder_.forget();
  segments_ = SharedSegments(0);
  context_.rest();
  done_ = true;
}

void Conversation::end_for_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) {
      log_limited(context_.faults, LogLevel::kWarning, "runner {} at {}: {}", client_,
                  channel_.link().peer(), error.what());
    }
    const bool no_memory = session_ && error.code() == ErrorCode::kResourceExhausted;
    if (error.code() == ErrorCode::kProtocol || no_memory) say_goodbye(error.code(), error.what());
  } catch (const std::exception& error) {
    log_limited(context_.faults, LogLevel::kError, "runner {} at {}: {}", client_,
                channel_.link().peer(), error.what());
    const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
    const bool threads = dynamic_cast<const std::system_error*>(&error) != nullptr;
    if (memory) say_goodbye(ErrorCode::kResourceExhausted, "no memory");
    if (threads) say_goodbye(ErrorCode::kResourceExhausted, "no thread to be had");
  } catch (...) {
    log_error("runner {} at {}: unknown error", client_, channel_.link().peer());
  }
}

void Conversation::read_all() {
  // Before Hello a silent peer may not hold a thread for long; afterwards a runner may think.
  const Limit patience =
      limit_of(lesser(context_.options.stall_timeout, context_.options.hello_timeout));
  while (const auto frame = channel_.receive(session_ ? std::nullopt : patience)) {
    current_request_ = frame->request_id;
    take_in(*frame);
    // One that came with this frame and was not its segment's would be taken for the next one's.
    require(!channel_.link().take_descriptor(), ErrorCode::kProtocol,
            "a runner sent a descriptor that nobody asked for");
  }
  if (!session_) return;
  log_limited(context_.arrivals, LogLevel::kInfo, "runner {} at {} is gone", client_,
              channel_.link().peer());
}

void Conversation::take_in(const IncomingFrame& frame) {
  require(session_ || frame.type == FrameType::kHello, ErrorCode::kProtocol,
          "a frame of type {} came before Hello", static_cast<int>(frame.type));
  if (frame.type == FrameType::kHello) return answer_hello(frame);
  if (frame.type == FrameType::kShare) return share(frame);
  if (frame.type == FrameType::kEndSequence) return end_sequence(frame);
  context_.sessions.work_begins(session_);
  Request& next = next_request();
  const Request::Context context{context_.backend.config(), context_.pool, segments_,
                                 context_.options.max_payload};
  switch (frame.type) {
    case FrameType::kCall:
      next.read_call(channel_, frame, context);
      break;
    case FrameType::kStatsRequest:
      next.read_stats(frame);
      break;
    case FrameType::kProbe:
      next.read_probe(channel_, frame, context);
      break;
    default:
      fail(ErrorCode::kProtocol, "a runner sent a frame of type {}", static_cast<int>(frame.type));
  }
  ++taken_;
  if (threads_) return threads_->submit();
  compute(next);
  answer(next);
  answered_ = taken_;
}

void Conversation::compute(Request& request) {
  request.compute(context_.sessions, session_, decoder_);
}

void Conversation::answer(Request& request) {
  request.answer(channel_, encoder_, context_.pool,
                 [this] { return context_.stats_for(session_); });
  context_.sessions.work_ends(session_);
  if (!context_.backend.lost()) return;
  channel_.link().close();
  if (context_.on_lost) context_.on_lost();
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
    session_ = context_.sessions.open([this] { give_up_place(); });
  } catch (const Error& error) {
    send_failure(frame.request_id, error.code(), error.what());
    throw;
  }
  greeted_ = true;
  channel_.link().set_stall_timeout(context_.options.stall_timeout);
  log_limited(context_.arrivals, LogLevel::kInfo, "runner {} at {} opened a session", client_,
              channel_.link().peer());
  const int lanes = std::clamp(hello.lanes, 1, HelloMessage::kMaxLanes);
  const bool shares = channel_.link().traits().shares_memory;
  channel_.send(FrameType::kWelcome, frame.request_id,
                builder_.build(WelcomeMessage{
                    context_.fingerprint, context_.backend.compute_dtype(),
                    context_.backend.description(), "airlock worker", lanes,
                    shares ? context_.options.shared_bytes : 0, context_.backend.products()}));
  if (lanes > 1) widen(lanes);
  context_.sessions.work_ends(session_);
}

void Conversation::share(const IncomingFrame& frame) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol, "shared memory came with tensors");
  segments_.add(parse_share(frame.message), channel_.link().take_descriptor());
}

void Conversation::end_sequence(const IncomingFrame& frame) {
  require(frame.payload_bytes == 0, ErrorCode::kProtocol,
          "the end of a sequence came with tensors");
  const EndSequenceMessage message = parse_end_sequence(frame.message);
  finish_requests();  // a call under way may be of this sequence
  context_.sessions.end_sequence(session_, message.sequence);
}

void Conversation::widen(int lanes) {
  require(has_room_for_threads(2), ErrorCode::kResourceExhausted,
          "no memory for the threads of {} calls under way", lanes);
  while (static_cast<int>(requests_.size()) < lanes) {
    requests_.push_back(std::make_unique<Request>());
  }
  threads_ = std::make_unique<Pipeline>(
      std::vector<Pipeline::Work>{[this](std::uint64_t number) { compute(request(number)); },
                                  [this](std::uint64_t number) { answer(request(number)); }},
      [this] { channel_.link().close(); });
}

Request& Conversation::next_request() {
  std::int64_t held = 0;
  for (std::uint64_t number = answered_; number < taken_; ++number) held += request(number).bytes();
  while (answered_ < taken_ &&
         (taken_ - answered_ >= requests_.size() || held > context_.options.max_payload)) {
    held -= request(answered_).bytes();
    threads_->wait(answered_++);
  }
  return request(taken_);
}

void Conversation::finish_requests() {
  if (threads_ && answered_ < taken_) threads_->wait(taken_ - 1);
  answered_ = taken_;
}

void Conversation::give_up_place() noexcept {
  try {
    log_limited(context_.faults, LogLevel::kWarning,
                "runner {} at {} made no call for long and gives its place to another", client_,
                channel_.link().peer());
    channel_.link().set_stall_timeout(kFarewellLimit);
    send_failure(0, ErrorCode::kSessionLost,
                 "this session was without a call for long, and another runner needed its place");
  } catch (const std::exception&) {  // it is gone already
  }
  channel_.link().close();
}

void Conversation::say_goodbye(ErrorCode code, std::string_view text) noexcept {
  try {
    if (session_) context_.sessions.work_begins(session_);  // unless it was told already
    finish_requests();                                      // the link has one sender at a time
    send_failure(current_request_, code, text);
  } catch (const std::exception&) {  // the link is gone as well: nobody is left to be told
  }
}

void Conversation::send_failure(std::uint64_t request_id, ErrorCode code, std::string_view text) {
  channel_.send(FrameType::kFailure, request_id,
                builder_.build(FailureMessage{code, std::string(text)}));
}

}  // namespace airlock
