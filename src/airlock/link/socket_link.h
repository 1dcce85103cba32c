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
  // What may lie in the kernel between two processes of one machine (it doubles the figure, and
  // cuts it at net.core.wmem_max). It should stay in the L2 cache between the copy in and the copy
  // out, and be large enough that the two seldom wait for each other. bench/link_ratio_bench, 8 and
  // 128 MiB each way, medians in GB/s on two cores that others used too:
  //   AMD EPYC, 512 KiB of L2   128 KiB    256 KiB    512 KiB    1 MiB      self-tuned
  //     unix                    2.8, 2.6   2.8, 2.9   3.0, 3.0   2.9, 2.7   3.0, 2.7
  //     TCP, loopback           2.6, 2.2   2.8, 2.8   2.7, 2.6   2.4, 2.7   1.9, 2.6
  //   Intel Xeon, 2 MiB of L2: TCP 5.0 and 3.6 from 64 to 256 KiB, 2.4 and 1.9 with 512 KiB, 1.8
  //   and 1.8 self-tuned; unix 4.5-6 and 3.1-3.7 anywhere up to 512 KiB, less above.
  static constexpr int kUnixSendBuffer = 512 << 10;
  static constexpr int kLoopbackSendBuffer = 256 << 10;

  /// `socket` is connected; sets its options (buffers; TCP: no delay, keep-alive). `peer` names the
  /// other end in messages. Its traits are the scheme's, as far as they hold for this socket;
  /// `to_child`: the other end goes to a child of this process.
  SocketLink(Fd socket, Transport transport, std::string peer, const LinkOptions& options,
             bool to_child = false);
  ~SocketLink() override;

  using Link::receive;
  using Link::send;
  void send(std::span<const std::span<const std::byte>> parts) override;
  void receive(std::span<const std::span<std::byte>> parts) override;
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override;
  bool wait_readable(std::optional<std::chrono::milliseconds> timeout) override;
  void close() noexcept override;
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
  void wait_to(const char* verb, short events, std::size_t left, Patience& patience) const;
  /// True if one of `events` came within the little time we may spin.
  [[nodiscard]] bool spin(short events) const noexcept;

  const Fd socket_;
  std::atomic<bool> closed_{false};
  const bool spin_;
  std::array<Fd, kMaxDescriptors> arrived_;  ///< descriptors not taken yet, oldest first
  std::size_t arrived_count_ = 0;
};

}  // namespace airlock
