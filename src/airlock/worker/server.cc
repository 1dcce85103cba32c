#include "airlock/worker/server.h"

#include <list>
#include <mutex>
#include <thread>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/worker/conversation.h"

namespace airlock {

struct Server::State {
  /// Connections beyond the sessions, so that a runner too many is told why it is refused.
  static constexpr std::size_t kSpareConnections = 8;

  struct Connection {
    Connection(ServerContext& context, std::unique_ptr<Link> link)
        : conversation(context, std::move(link)), thread([this] { conversation.run(); }) {}
    Conversation conversation;
    std::thread thread;
  };

  ServerContext context;
  std::mutex mutex;
  std::list<Connection> connections;

  /// Ends connections: those whose runner has gone, or all.
  void reap(bool all) {
    std::list<Connection> ended;
    {
      const std::lock_guard lock(mutex);
      for (auto at = connections.begin(); at != connections.end();) {
        const auto next = std::next(at);
        if (all || at->conversation.done()) ended.splice(ended.end(), connections, at);
        at = next;
      }
    }
    for (Connection& connection : ended) {
      if (all) connection.conversation.close();
      connection.thread.join();
    }
  }
};

Server::Server(Backend& backend, const FingerprintBytes& fingerprint, const ServerOptions& options)
    : state_(new State{{backend,
                        fingerprint,
                        options,
                        {backend, {options.max_sessions, options.kv_budget, options.idle_timeout}},
                        {}},
                       {},
                       {}}) {}

Server::~Server() {
  state_->reap(true);
}

void Server::serve(Listener& listener) {
  try {
    while (auto link = listener.accept()) {
      state_->reap(false);
      const std::lock_guard lock(state_->mutex);
      if (state_->connections.size() >=
          static_cast<std::size_t>(state_->context.options.max_sessions) +
              State::kSpareConnections) {
        log_warning("a runner at {} was turned away: too many connections", link->peer());
        continue;
      }
      state_->connections.emplace_back(state_->context, std::move(link));
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
  }
  state_->reap(true);
}

void Server::serve(std::unique_ptr<Link> link) {
  Conversation(state_->context, std::move(link)).run();
}

WorkerStats Server::stats() const {
  return state_->context.stats();
}

}  // namespace airlock
