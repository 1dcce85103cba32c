// A link that behaves like a slower one: to try a network before there is one.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "airlock/link/delay_line.h"
#include "airlock/link/link_base.h"
#include "airlock/link/link_shape.h"
#include "airlock/link/parts.h"
#include "airlock/link/shaper_clock.h"

namespace airlock {

/// One end of a connection, shaped; the peer needs to know nothing of it. Each direction has the
/// shape's bandwidth to itself: n bytes sent at t occupy the outgoing direction for
/// n / bandwidth from t, or from when it is free, and the peer gets them no sooner; what comes in
/// at the inner link does the same to the incoming direction, and is received a whole round trip
/// later. (Half of it belongs to the way out; but the peer's clock is not ours, and nobody can tell
/// the difference.) So the round trip is paid once a turnaround, and calls under way at the same
/// time overlap theirs.
///
/// A thread reads the inner link, so that bytes have their times of arrival while nobody receives.
/// What it may have read ahead is bounded (bandwidth times round trip and a little, 64 MiB at
/// most: a longer and fatter link carries 64 MiB a round trip); beyond that the peer has to wait.
///
/// Bytes that go through shared memory take their time on it as well, if its user tells of them
/// (carry_out, carry_in), which is as close as one machine comes to two: no copy through a socket
/// takes the cores from the work of either side. Descriptors go out and never in: a peer that sends
/// one breaks the protocol. Counters count what this link's user sent and received; the stall
/// timeout and the least rate do not run while bytes wait for their time. A stop of the inner link
/// ends the incoming direction for good.
class ShapedLink final : public LinkBase {
 public:
  ShapedLink(std::unique_ptr<Link> inner, const LinkShape& shape, const LinkOptions& options,
             ShaperClock& clock);
  ~ShapedLink() override;

  using Link::receive;
  using Link::send;
  void send(std::span<const std::span<const std::byte>> parts) override;
  void receive(std::span<const std::span<std::byte>> parts) override;
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override;
  bool wait_readable(std::optional<std::chrono::milliseconds> timeout) override;
  void send_with_descriptor(std::span<const std::span<const std::byte>> parts,
                            int descriptor) override;
  void carry_out(std::size_t bytes) override;
  void carry_in(std::size_t bytes) override;
  void set_stall_timeout(std::chrono::milliseconds timeout) override;
  void set_least_rate(double bytes_per_second) override;
  void close() noexcept override;

 private:
  using Time = ShaperClock::Time;
  using Duration = ShaperClock::Duration;

  /// Where one thread sleeps. `waits`, guarded by mutex_, says whether another has to wake it.
  struct Sleeper {
    Alarm alarm;
    bool waits = false;
  };

  [[nodiscard]] std::optional<Time> end_of(Limit limit) const;
  void sleep(std::unique_lock<std::mutex>& lock, Sleeper& sleeper, std::optional<Time> until);
  static void wake(Sleeper& sleeper) noexcept;

  /// Waits until `due`; close() sets `closing`. `verb` and `left` are for messages.
  void wait_until(Time due, const Alarm& closing, const char* verb, std::size_t left);
  /// Sleeps that end late are made up for.
  [[nodiscard]] static Duration lateness(Time now, Time due) noexcept;
  /// Waits for `most` of the next bytes, or fewer if there is a pause after them. Returns how many,
  /// 0: the peer closed cleanly. `left` is for messages.
  std::size_t wait_for_bytes(std::size_t most, std::size_t left);
  void take(PartCursor<std::byte>& cursor, std::size_t bytes);

  void pump() noexcept;
  void pump_until_end();
  [[nodiscard]] std::span<std::byte> wait_for_space();

  const std::unique_ptr<Link> inner_;
  ShaperClock& clock_;
  const std::size_t piece_bytes_;
  std::atomic<bool> closed_{false};

  SerialLine out_;   ///< with what follows: the sending thread's
  Duration late_{};  ///< by how much sending is behind the shape
  Alarm sending_ends_;

  Time taken_due_{};   ///< with what follows, the receiving thread's: of what was taken last
  Time memory_due_{};  ///< when the last bytes of shared memory have arrived
  Alarm receiving_ends_;

  std::mutex mutex_;
  DelayLine in_;
  Sleeper receiver_;
  Sleeper pumper_;
  bool ended_ = false;          ///< nothing comes after what is in in_
  std::exception_ptr failure_;  ///< why, unless the peer closed
  std::thread thread_;
};

/// `inner`, shaped; its stall timeout and StopToken are those of `options`, which `inner` should
/// have, too. Throws Error(kInvalidArgument) for a shape out of range, kResourceExhausted without
/// descriptors. `clock` outlives the link.
[[nodiscard]] std::unique_ptr<Link> shape_link(std::unique_ptr<Link> inner, const LinkShape& shape,
                                               const LinkOptions& options = {},
                                               ShaperClock& clock = steady_shaper_clock());

/// `link`, which was made with `options`: shaped if they say so.
[[nodiscard]] std::unique_ptr<Link> shape_as_asked(std::unique_ptr<Link> link,
                                                   const LinkOptions& options);

}  // namespace airlock
