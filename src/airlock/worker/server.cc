#include "airlock/worker/server.h"

#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/threads.h"
#include "airlock/worker/conversation.h"

namespace airlock {

struct Server::State {
  /// Connections beyond the sessions, so that a runner too many is told why it is refused.
  static constexpr std::size_t kSpareConnections = 8;
  /// A fresh connection's buffer takes a Failure at once; this bounds a transport where it does
  /// not.
  static constexpr std::chrono::milliseconds kFarewellLimit{100};

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
    if (all) {
      for (Connection& connection : ended) connection.conversation.close();
    }
    for (Connection& connection : ended) connection.thread.join();
  }

  /// Gives a new runner its thread, or tells it why there is none.
  void take(std::unique_ptr<Link> link) {
    reap(false);
    const std::lock_guard lock(mutex);
    const std::size_t most =
        static_cast<std::size_t>(context.options.max_sessions) + kSpareConnections;
    if (connections.size() >= most) {
      return turn_away(std::move(link), "this worker has too many connections; try again later");
    }
    if (!has_room_for_threads(1)) {
      return turn_away(std::move(link), "this worker has no memory for another connection");
    }
    try {
      connections.emplace_back(context, std::move(link));
    } catch (const std::exception& error) {  // no thread, or no memory for what it needs
      log_warning("no room for another runner: {}", error.what());
    }
  }

  void require_backend() const {
    require(!context.backend.lost(), ErrorCode::kInternal,
            "{} is lost to this process, all its calls would fail: start the worker again",
            context.backend.description());
  }

  static void turn_away(std::unique_ptr<Link> link, std::string_view reason) noexcept {
    try {
      log_warning("a runner at {} was turned away: {}", link->peer(), reason);
      Channel channel(std::move(link), 0);
      channel.link().set_stall_timeout(kFarewellLimit);
      MessageBuilder builder;
      channel.send(
          FrameType::kFailure, 0,
          builder.build(FailureMessage{ErrorCode::kResourceExhausted, std::string(reason)}));
    } catch (const std::exception&) {  // it is gone already
    }
  }
};

Server::Server(Backend& backend, const FingerprintBytes& fingerprint, const ServerOptions& options)
    : state_(new State{{backend,
                        fingerprint,
                        options,
                        {backend, options.session_limits()},
                        backend.host_memory()},
                       {},
                       {}}) {}

Server::~Server() {
  state_->reap(true);
}

void Server::serve(Listener& listener) {
  state_->context.on_lost = [&] { listener.close(); };
  const struct End {
    State& state;
    ~End() {
      state.reap(true);
      state.context.on_lost = nullptr;
    }
  } end{*state_};
  try {
    while (auto link = listener.accept()) state_->take(std::move(link));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
  }
  state_->require_backend();
}

void Server::serve(std::unique_ptr<Link> link) {
  Conversation(state_->context, std::move(link)).run();
  state_->require_backend();
}

WorkerStats Server::stats() const {
  return state_->context.stats();
}

}  // namespace airlock
