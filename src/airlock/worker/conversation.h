// One runner's conversation with a worker, from its Hello to its end.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/log_limit.h"
#include "airlock/core/pipeline.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"
#include "airlock/worker/request.h"
#include "airlock/worker/server.h"
#include "airlock/worker/session_table.h"

namespace airlock {

/// What all conversations of one server share.
struct ServerContext {
  Backend& backend;
  const FingerprintBytes fingerprint;
  const ServerOptions options;
  SessionTable sessions;
  BufferPool pool;
  /// Called, from any thread, when the backend is lost and the runner has been told. May be empty.
  std::function<void()> on_lost = {};
  /// Its one runner may know what the process takes.
  bool is_private = false;
  LogLimit arrivals = LogLimit();  ///< of lines about runners that come and go
  LogLimit faults = LogLimit();    ///< and about those that break rules or are refused

  /// Of all sessions: for who runs the worker.
  [[nodiscard]] WorkerStats stats() const;
  /// What a runner is told: nothing that others have a part in.
  [[nodiscard]] WorkerStats stats_for(const SessionTable::Handle& session) const;
  /// Gives back what is kept warm if no session is open.
  void rest() noexcept;
};

/// How long last words may take: the buffers of a link that nobody writes to take them at once.
inline constexpr std::chrono::milliseconds kFarewellLimit{100};

/// Runs on one thread, or, for a runner that keeps several calls under way, on three: this one
/// reads, one computes, one answers. close() may come from any other.
class Conversation {
 public:
  Conversation(ServerContext& context, std::unique_ptr<Link> link);

  /// Answers requests until the runner goes away, breaks the protocol, stalls, or the link is
  /// stopped. Does not throw: what went wrong is told to the runner, if it can be, and logged.
  void run() noexcept;

  /// Ends run() soon.
  void close() noexcept { channel_.link().close(); }
  /// True once it has a session.
  [[nodiscard]] bool greeted() const noexcept { return greeted_; }
  /// True once run() has returned.
  [[nodiscard]] bool done() const noexcept { return done_; }

 private:
  void read_all();
  void answer_hello(const IncomingFrame& frame);
  void share(const IncomingFrame& frame);
  void end_sequence(const IncomingFrame& frame);
  void take_in(const IncomingFrame& frame);
  void compute(Request& request);
  void answer(Request& request);
  /// Starts the threads for `lanes` requests under way.
  void widen(int lanes);
  [[nodiscard]] Request& request(std::uint64_t number) {
    return *requests_[number % requests_.size()];
  }
  /// Waits until what is held, and one more request, fits the lanes and the limit on payloads.
  Request& next_request();
  /// Waits until every request taken has been answered.
  void finish_requests();
  /// Tells a runner without calls that another takes its place, and closes. No work of its session
  /// is under way, so nobody else sends.
  void give_up_place() noexcept;
  /// Tells the runner why it ends, if it can be told, and logs it; takes no memory that must be
  /// there. Only in a catch clause.
  void end_for_exception() noexcept;
  void say_goodbye(ErrorCode code, std::string_view text) noexcept;
  void send_failure(std::uint64_t request_id, ErrorCode code, std::string_view text);

  ServerContext& context_;
  Channel channel_;
  MessageBuilder builder_;
  TensorCodec decoder_;  ///< of the thread that computes
  TensorCodec encoder_;  ///< of the one that answers
  SessionTable::Handle session_;
  SharedSegments segments_;
  std::vector<std::unique_ptr<Request>> requests_;  ///< a ring
  std::uint64_t taken_ = 0;                         ///< requests read
  std::uint64_t answered_ = 0;                      ///< of them, answered for sure
  std::unique_ptr<Pipeline> threads_;               ///< with several lanes
  std::uint64_t current_request_ = 0;
  std::string client_ = "?";
  std::atomic<bool> greeted_{false};
  std::atomic<bool> done_{false};
};

}  // namespace airlock
