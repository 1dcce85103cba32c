// One connected, ordered stream of bytes: what every transport gives.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "airlock/core/error.h"
#include "airlock/link/fd.h"
#include "airlock/link/link_traits.h"
#include "airlock/link/uri.h"

namespace airlock {

/// One end of a connection. Bytes arrive in the order they were sent, without message boundaries.
///
/// Thread-safety: one thread may send while another receives; close(), the counters,
/// set_stall_timeout() and set_least_rate() may be used from any thread. The destructor closes; no
/// other call may be under way then.
///
/// Errors of send, receive, receive_some and wait_readable: kTimeout, kConnectionLost (the peer
/// closed or died, or close() was called here) and kInterrupted (the link's StopToken was stopped:
/// see LinkOptions). After one of them in send or receive an unknown part of the message has
/// travelled: close the link, it cannot be used on.
///
/// A decorator (shaping, encryption, recording) derives from Link and forwards to another.
class Link {
 public:
  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Sends all bytes of all parts in order, straight from where they lie. Blocks until the last is
  /// handed over; the parts may be reused then. Empty parts are allowed. Throws kTimeout if no byte
  /// moved for the stall timeout, or fewer than the least rate. A small message may be buffered
  /// before the peer reads it; send never promises that it arrived.
  virtual void send(std::span<const std::span<const std::byte>> parts) = 0;
  void send(std::span<const std::byte> bytes) { send({&bytes, 1}); }

  /// Fills all parts, in order, exactly. Blocks; throws kTimeout as send does and kConnectionLost
  /// if the peer closes before the last byte.
  virtual void receive(std::span<const std::span<std::byte>> parts) = 0;
  void receive(std::span<std::byte> into) { receive({&into, 1}); }

  /// Takes what has arrived, as far as it fits into `into` (not empty), and waits for the first
  /// byte as receive does. Returns how many bytes: 0 only if the peer closed cleanly.
  [[nodiscard]] virtual std::size_t receive_some(std::span<std::byte> into) = 0;

  /// Waits until at least one byte can be received. False if the conversation has ended: the peer
  /// closed cleanly with no byte pending, or close() was called here. No `timeout` means no limit
  /// (the stall timeout does not apply); throws kTimeout when it passes.
  virtual bool wait_readable(std::optional<std::chrono::milliseconds> timeout) = 0;

  /// How long send and receive wait for the next byte to move; 0 (at start): without limit.
  virtual void set_stall_timeout(std::chrono::milliseconds timeout) = 0;
  /// Bytes a second at which they must move while send or receive waits for them; 0 (at start):
  /// none. With it a message of n bytes waits for the stall timeout and n / rate in all, not for
  /// the stall timeout at each byte; what is received between two calls of wait_readable is one
  /// message, and what one send sends. Whoever never waits may ignore it.
  virtual void set_least_rate(double /*bytes_per_second*/) {}

  /// What this link offers: never changes.
  [[nodiscard]] virtual LinkTraits traits() const noexcept = 0;

  /// send(), with a descriptor that arrives with the first byte; the caller keeps its own. Throws
  /// Error(kUnsupported) unless traits().shares_memory.
  virtual void send_with_descriptor(std::span<const std::span<const std::byte>> /*parts*/,
                                    int /*descriptor*/) {
    fail(ErrorCode::kUnsupported, "{}: no descriptors travel over this link", peer());
  }
  /// The oldest descriptor that came with bytes received so far; none: an empty Fd.
  [[nodiscard]] virtual Fd take_descriptor() { return {}; }

  /// Tells of `bytes` in memory both ends share that belong to what is sent next, or was received
  /// last: where memory is slow (see LinkTraits), lets pass the time they would take, on the thread
  /// that sends or receives. Throws as send and receive do.
  virtual void carry_out(std::size_t /*bytes*/) {}
  virtual void carry_in(std::size_t /*bytes*/) {}

  /// Ends the connection and wakes calls that block on it, at both ends. Bytes already sent can
  /// still be received by the peer, unless it goes on sending over TCP: that resets the connection.
  /// Any number of times, from any thread.
  virtual void close() noexcept = 0;

  /// Bytes handed to, and taken from, the transport so far, counted where they move.
  [[nodiscard]] virtual std::uint64_t bytes_sent() const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t bytes_received() const noexcept = 0;

  /// Its kind, for its name; what it can do is in traits().
  [[nodiscard]] virtual Transport transport() const noexcept = 0;
  /// The other end, for messages: "tcp://10.0.0.2:7000", "unix:///run/airlock.sock".
  [[nodiscard]] virtual const std::string& peer() const noexcept = 0;

 protected:
  Link() = default;
};

}  // namespace airlock
