#include "airlock/worker/server.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "airlock/core/error.h"
#include "airlock/core/log_limit.h"
#include "airlock/core/threads.h"
#include "airlock/worker/conversation.h"

namespace airlock {

struct Server::State {
  /// Connections that are ending beside those that greet and those with a session.
  static constexpr std::size_t kSpareConnections = 16;
  /// For connections told to end, before another is turned away.
  static constexpr std::chrono::milliseconds kEndLimit{1000};

  struct Connection {
    Connection(State& state, std::unique_ptr<Link> link)
        : conversation(state.context, std::move(link)), thread([this, &state] {
            conversation.run();
            state.conversation_ended();
          }) {}
    Conversation conversation;
    std::thread thread;
    bool told_to_end = false;
  };

  ServerContext context;
  std::mutex mutex;
  std::list<Connection> connections;  ///< the oldest first
  std::condition_variable ended;      ///< a conversation, or serving
  bool serving = false;

  void conversation_ended() {
    const std::lock_guard lock(mutex);
    ended.notify_all();
  }

  /// Takes the connections whose conversations have ended, or all, out of the list.
  std::list<Connection> take_out(bool all) {
    std::list<Connection> taken;
    for (auto at = connections.begin(); at != connections.end();) {
      const auto next = std::next(at);
      if (all || at->conversation.done()) taken.splice(taken.end(), connections, at);
      at = next;
    }
    return taken;
  }

  /// Frees what ended conversations hold, descriptors above all, whether or not others come.
  void reap_while_serving() {
    std::unique_lock lock(mutex);
    while (serving) {
      std::list<Connection> gone = take_out(false);
      if (gone.empty()) {
        ended.wait(lock);
        continue;
      }
      lock.unlock();
      join(gone);
      lock.lock();
    }
  }

  void end_all() {
    std::list<Connection> all;
    {
      const std::lock_guard lock(mutex);
      all = take_out(true);
    }
    for (Connection& connection : all) connection.conversation.close();
    join(all);
  }

  static void join(std::list<Connection>& connections) {
    for (Connection& connection : connections) connection.thread.join();
    connections.clear();
  }

  /// Gives a new runner its thread, or tells it why there is none. Those that have said nothing yet
  /// have places of their own, which the latest to come may take from the first.
  void take(std::unique_ptr<Link> link) {
    std::unique_lock lock(mutex);
    if (!make_room(lock)) {
      return turn_away(std::move(link), "this worker has too many connections; try again later");
    }
    if (!has_room_for_threads(1)) {
      return turn_away(std::move(link), "this worker has no memory for another connection");
    }
    end_oldest_greeting();
    try {
      connections.emplace_back(*this, std::move(link));
    } catch (const std::exception& error) {  // no thread, or no memory for what it needs
      log_limited(context.faults, LogLevel::kWarning, "no room for another runner: {}",
                  error.what());
    }
  }

  /// Waits for connections that are ending, where there are so many that nobody else may come.
  bool make_room(std::unique_lock<std::mutex>& lock) {
    const std::size_t most = static_cast<std::size_t>(context.options.max_sessions) +
                             static_cast<std::size_t>(context.options.max_greeting) +
                             kSpareConnections;
    const auto until = std::chrono::steady_clock::now() + kEndLimit;
    while (connections.size() >= most) {
      std::list<Connection> gone = take_out(false);
      if (gone.empty()) {
        const bool ending = std::any_of(connections.begin(), connections.end(),
                                        [](const Connection& c) { return c.told_to_end; });
        if (!ending || ended.wait_until(lock, until) == std::cv_status::timeout) return false;
        continue;
      }
      lock.unlock();
      join(gone);
      lock.lock();
    }
    return true;
  }

  void end_oldest_greeting() {
    Connection* oldest = nullptr;
    int greeting = 0;
    for (Connection& connection : connections) {
      if (connection.conversation.greeted() || connection.told_to_end) continue;
      if (++greeting == 1) oldest = &connection;
    }
    if (greeting < context.options.max_greeting) return;
    oldest->told_to_end = true;
    oldest->conversation.close();
    log_limited(context.faults, LogLevel::kWarning,
                "{} connections have not said Hello; the oldest was closed for another", greeting);
  }

  void require_backend() const {
    require(!context.backend.lost(), ErrorCode::kInternal,
            "{} is lost to this process, all its calls would fail: start the worker again",
            context.backend.description());
  }

  void turn_away(std::unique_ptr<Link> link, std::string_view reason) noexcept {
    try {
      log_limited(context.faults, LogLevel::kWarning, "a runner at {} was turned away: {}",
                  link->peer(), reason);
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
                       {},
                       {}}) {}

Server::~Server() = default;

void Server::serve(Listener& listener) {
  state_->context.on_lost = [&] { listener.close(); };
  state_->serving = true;
  std::thread reaper([this] { state_->reap_while_serving(); });
  const struct End {
    State& state;
    std::thread& reaper;
    ~End() {
      {
        const std::lock_guard lock(state.mutex);
        state.serving = false;
        state.ended.notify_all();
      }
      reaper.join();
      state.end_all();
      state.context.on_lost = nullptr;
    }
  } end{*state_, reaper};
  try {
    while (auto link = listener.accept()) state_->take(std::move(link));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInterrupted) throw;
  }
  state_->require_backend();
}

void Server::serve(std::unique_ptr<Link> link) {
  state_->context.is_private = true;
  Conversation(state_->context, std::move(link)).run();
  state_->require_backend();
}

WorkerStats Server::stats() const {
  return state_->context.stats();
}

}  // namespace airlock
