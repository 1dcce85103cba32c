// The contestants of the link benchmarks: ways to exchange a request and a reply of one size.
// Each but memcpy has its peer in a forked process, as runner and worker are.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace airlock {

/// One way, ready to run: the peer is up and all its memory touched. Destroying it ends the peer.
class Exchange {
 public:
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Brings `request` to the peer and its answer, of as many bytes, into `reply`. Both have the
  /// size that the exchange was made for.
  virtual void run(std::span<const std::byte> request, std::span<std::byte> reply) = 0;

 protected:
  Exchange() = default;
};

/// What is compared: the members of a family take turns, so that they meet the same machine.
struct Contestant {
  const char* family;
  const char* name;
  bool yardstick;  ///< not Airlock's: what the family is measured against
  std::unique_ptr<Exchange> (*make)(std::size_t size);
};

/// All contestants, families together:
///  - shm: `memcpy, 3 copies` in one process, and `shm`, which makes the same three copies: the
///    request into shared memory, the peer's answer from request to reply area, the reply out of
///    it. Beside them shm sends only two frames of 64 bytes, as the other's signal.
///  - unix, tcp: loops of blocking send() and recv() over the whole message, with the system's
///    buffers or with ours, with and without MSG_WAITALL; and Airlock's Link, as it is at start and
///    with LinkOptions::spin.
///  - zmq, if the libraries are there: REQ and REP over ipc:, with messages copied in and out at
///    both ends, and without those copies (the reply is the request's message, left in place).
[[nodiscard]] std::vector<Contestant> contestants();

/// The parts of contestants(), by source file.
[[nodiscard]] std::vector<Contestant> memory_contestants();
[[nodiscard]] std::vector<Contestant> socket_contestants();
[[nodiscard]] std::vector<Contestant> zmq_contestants();

}  // namespace airlock
