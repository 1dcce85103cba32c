// A Link over a connected stream socket, unix or TCP.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "airlock/link/fd.h"
#include "airlock/link/link_base.h"
#include "airlock/link/parts.h"

struct msghdr;

namespace airlock {

/// See Link. The descriptor stays open until destruction, so that close() from another thread
/// cannot hit a descriptor that was opened since.
class SocketLink final : public LinkBase {
 public:
  /// `socket` is connected; sets its options (buffers; TCP: no delay, keep-alive). `peer` names the
  /// other end in messages.
  SocketLink(Fd socket, Transport transport, std::string peer);
  ~SocketLink() override;

  using Link::receive;
  using Link::send;
  void send(std::span<const std::span<const std::byte>> parts) override;
  void receive(std::span<const std::span<std::byte>> parts) override;
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override;
  bool wait_readable(std::optional<std::chrono::milliseconds> timeout) override;
  void close() noexcept override;
  [[nodiscard]] bool passes_descriptors() const noexcept override {
    return transport() == Transport::kShm;
  }
  void send_with_descriptor(std::span<const std::span<const std::byte>> parts,
                            int descriptor) override;
  [[nodiscard]] Fd take_descriptor() override;

 private:
  /// A peer that sends more of them than are asked for is breaking the rules.
  static constexpr std::size_t kMaxDescriptors = 4;

  void drain() noexcept;
  void send_parts(std::span<const std::span<const std::byte>> parts, int descriptor);
  /// Waits for bytes and takes those that are there into where the cursor stands; 0: the peer
  /// closed.
  std::size_t take(PartCursor<std::byte>& cursor);
  void keep_descriptors(msghdr& message);
  void wait_to(const char* verb, short events, std::size_t left) const;

  const Fd socket_;
  std::atomic<bool> closed_{false};
  std::array<Fd, kMaxDescriptors> arrived_;  ///< descriptors not taken yet, oldest first
  std::size_t arrived_count_ = 0;
};

}  // namespace airlock
