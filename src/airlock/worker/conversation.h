// One runner's conversation with a worker, from its Hello to its end.
#pragma once

#include <atomic>
#include <memory>

#include "airlock/core/buffer_pool.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"
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

  [[nodiscard]] WorkerStats stats() const;
};

/// Runs on one thread; close() may come from another.
class Conversation {
 public:
  Conversation(ServerContext& context, std::unique_ptr<Link> link);

  /// Answers requests until the runner goes away, breaks the protocol, stalls, or the process is
  /// interrupted. Does not throw: what went wrong is told to the runner, if it can be, and logged.
  void run() noexcept;

  /// Ends run() soon.
  void close() noexcept { channel_.link().close(); }
  /// True once run() has returned.
  [[nodiscard]] bool done() const noexcept { return done_; }

 private:
  void answer_all();
  void answer(const IncomingFrame& frame);
  void answer_hello(const IncomingFrame& frame);
  void answer_call(const IncomingFrame& frame);
  void check_payloads(const Call& call, const IncomingFrame& frame,
                      const TensorSpecs& replies) const;
  void answer_stats(const IncomingFrame& frame);
  void send_failure(std::uint64_t request_id, ErrorCode code, std::string_view text);

  ServerContext& context_;
  Channel channel_;
  MessageBuilder builder_;
  SessionTable::Handle session_;
  std::uint64_t current_request_ = 0;
  std::string client_ = "?";
  std::atomic<bool> done_{false};
};

}  // namespace airlock
