// ZeroMQ's request and reply over ipc:, as a research prototype would use it.
#include <cstring>
#include <optional>
#include <string>
#include <zmq.hpp>

#include <unistd.h>

#include "bench/link_exchange.h"
#include "bench/peer_process.h"

namespace airlock {
namespace {

constexpr int kPatienceMs = 60000;

// A name that no file has; one benchmark of ours runs at a time in a process.
std::string address() {
  return "ipc://@airlock-bench-" + std::to_string(::getpid());
}

void keep(void* /*data*/, void* /*hint*/) {}

// Messages copied in and out at both ends, as bindings of every language do by default.
void answer_with_copies(zmq::socket_t& socket, std::size_t size) {
  std::vector<std::byte> buffer(size, std::byte{1});
  zmq::message_t message;
  while (socket.recv(message) && message.size() == size) {
    std::memcpy(buffer.data(), message.data(), size);
    socket.send(zmq::message_t(buffer.data(), size), zmq::send_flags::none);
  }
}

void answer_in_place(zmq::socket_t& socket, std::size_t size) {
  zmq::message_t message;
  while (socket.recv(message) && message.size() == size) {
    socket.send(std::move(message), zmq::send_flags::none);
    message.rebuild();
  }
}

class ZeroMq final : public Exchange {
 public:
  ZeroMq(bool copies, std::size_t size) : copies_(copies) {
    // The peer forks first: a context has threads, which a fork would leave behind.
    peer_.emplace([&, name = address()] {
      zmq::context_t context;
      zmq::socket_t socket(context, zmq::socket_type::rep);
      socket.bind(name);
      copies ? answer_with_copies(socket, size) : answer_in_place(socket, size);
    });
    context_.emplace();
    socket_.emplace(*context_, zmq::socket_type::req);
    // A peer that died must not hold the benchmark for ever.
    socket_->set(zmq::sockopt::linger, kPatienceMs);
    socket_->set(zmq::sockopt::rcvtimeo, kPatienceMs);
    // Until the peer is bound, the connection is tried anew this often.
    socket_->set(zmq::sockopt::reconnect_ivl, 5);
    socket_->connect(address());
  }
  ~ZeroMq() override { socket_->send(zmq::message_t(std::size_t{1}), zmq::send_flags::none); }

  void run(std::span<const std::byte> request, std::span<std::byte> reply) override {
    zmq::message_t message;
    if (copies_) {
      socket_->send(zmq::message_t(request.data(), request.size()), zmq::send_flags::none);
      require(socket_->recv(message).has_value(), ErrorCode::kInternal, "no reply");
      std::memcpy(reply.data(), message.data(), reply.size());
    } else {
      // libzmq reads the bytes and gives them back before the reply can come.
      auto* data = const_cast<std::byte*>(request.data());
      socket_->send(zmq::message_t(data, request.size(), keep), zmq::send_flags::none);
      require(socket_->recv(message).has_value(), ErrorCode::kInternal, "no reply");
    }
  }

 private:
  const bool copies_;
  std::optional<PeerProcess> peer_;
  std::optional<zmq::context_t> context_;
  std::optional<zmq::socket_t> socket_;
};

}  // namespace

std::vector<Contestant> zmq_contestants() {
  using Made = std::unique_ptr<Exchange>;
  return {
      {"zmq", "zmq ipc", false,
       [](std::size_t size) -> Made { return std::make_unique<ZeroMq>(true, size); }},
      {"zmq", "zmq ipc, no copies", false,
       [](std::size_t size) -> Made { return std::make_unique<ZeroMq>(false, size); }},
  };
}

}  // namespace airlock
