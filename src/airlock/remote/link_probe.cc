#include "airlock/remote/link_probe.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <optional>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

/// Rounds of one figure; their median survives a stray interruption.
constexpr int kRounds = 5;
/// A rate is taken from the first size whose transfer takes this long: the round trip is small
/// beside it, and a slow link is not held up for longer than a few of these.
constexpr double kLongEnoughMs = 2;
constexpr std::int64_t kLeastRateBytes = 64 << 10;
constexpr std::int64_t kMostRateBytes = 4 << 20;
/// Between them lies the size from which shared memory wins.
constexpr std::int64_t kLeastShared = 1 << 10;
constexpr std::int64_t kMostShared = 256 << 10;

class Prober {
 public:
  Prober(Channel& channel, const FlightMemory& memory, MessageBuilder& builder,
         const std::function<std::uint64_t()>& next_id,
         const std::function<IncomingFrame(std::uint64_t id)>& await)
      : channel_(channel), builder_(builder), next_id_(next_id), await_(await) {
    own_ = memory.own.acquire(static_cast<std::size_t>(2 * kMostRateBytes));
    std::fill(own_.span().begin(), own_.span().end(), std::byte{1});  // pages made before timing
    if (memory.arena == nullptr) return;
    shared_ = memory.shared.acquire(static_cast<std::size_t>(2 * kMostRateBytes));
    place_ = memory.arena->find(shared_.data());
    if (!place_) return;  // the budget does not reach
    std::fill(shared_.span().begin(), shared_.span().end(), std::byte{1});
    announce(channel, *memory.arena, place_->segment, builder);
  }

  [[nodiscard]] bool shares() const noexcept { return place_.has_value(); }

  /// ms of one request and its answer, of so many bytes.
  double exchange(std::int64_t bytes, std::int64_t reply_bytes, bool shared) {
    const Buffer& buffer = shared ? shared_ : own_;
    const auto out = buffer.span().first(static_cast<std::size_t>(bytes));
    const auto in = buffer.span().subspan(static_cast<std::size_t>(kMostRateBytes),
                                          static_cast<std::size_t>(reply_bytes));
    ProbeMessage probe{bytes, reply_bytes, {}, {}};
    if (shared) {
      probe.place = *place_;
      probe.reply_place = *place_;
      probe.reply_place.offset += kMostRateBytes;
    }
    const std::uint64_t id = next_id_();
    const auto began = Clock::now();
    std::fill(out.begin(), out.end(), static_cast<std::byte>(id));
    const std::array<std::span<const std::byte>, 1> sent = {out};
    if (shared) channel_.link().carry_out(out.size());
    channel_.send(FrameType::kProbe, id, builder_.build(probe),
                  std::span(sent).first(shared || bytes == 0 ? 0 : 1));
    const IncomingFrame frame = await_(id);
    const std::array<std::span<std::byte>, 1> wanted = {in};
    require(frame.message.empty(), ErrorCode::kProtocol, "the answer to a probe has a message");
    channel_.receive_tensors(std::span(wanted).first(shared || reply_bytes == 0 ? 0 : 1));
    if (shared) channel_.link().carry_in(in.size());
    const auto* words = reinterpret_cast<const std::uint32_t*>(in.data());
    sum_ = std::accumulate(words, words + in.size() / sizeof *words, std::uint32_t{0});
    return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
  }

  double median(std::int64_t bytes, std::int64_t reply_bytes, bool shared) {
    std::array<double, kRounds> times;
    for (double& time : times) time = exchange(bytes, reply_bytes, shared);
    std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
    return times[kRounds / 2];
  }

  /// Bytes per second of growing transfers, from the first that takes long enough.
  template <typename Transfer>
  static double rate(double rtt_ms, const Transfer& transfer) {
    for (std::int64_t bytes = kLeastRateBytes;; bytes *= 4) {
      double ms = transfer(bytes);
      if (ms < kLongEnoughMs && bytes * 4 <= kMostRateBytes) continue;
      for (int again = 0; again < 2; ++again) ms = std::min(ms, transfer(bytes));
      return static_cast<double>(bytes) / std::max(ms - rtt_ms, ms / 10) * 1e3;
    }
  }

  /// The least power of two from which shared memory is no slower at all sizes tried; from
  /// kMostShared on it always wins, whatever a disturbed measurement would say.
  std::int64_t crossover() {
    std::int64_t from = kMostShared;
    for (std::int64_t bytes = kMostShared / 2; bytes >= kLeastShared; bytes /= 2) {
      if (median(bytes, bytes, true) > median(bytes, bytes, false)) break;
      from = bytes;
    }
    return from;
  }

 private:
  Channel& channel_;
  MessageBuilder& builder_;
  const std::function<std::uint64_t()>& next_id_;
  const std::function<IncomingFrame(std::uint64_t id)>& await_;
  Buffer own_;
  Buffer shared_;
  std::optional<Place> place_;
  volatile std::uint32_t sum_ = 0;  ///< keeps the reading from being left out
};
}  // namespace

LinkProfile probe_link(Channel& channel, const FlightMemory& memory, MessageBuilder& builder,
                       const std::function<std::uint64_t()>& next_id,
                       const std::function<IncomingFrame(std::uint64_t id)>& await) {
  Prober prober(channel, memory, builder, next_id, await);
  LinkProfile profile;
  (void)prober.exchange(0, 0, false);  // threads wake and caches fill
  profile.rtt_ms = prober.median(0, 0, false);
  profile.send_rate = Prober::rate(
      profile.rtt_ms, [&](std::int64_t bytes) { return prober.exchange(bytes, 0, false); });
  profile.receive_rate = Prober::rate(
      profile.rtt_ms, [&](std::int64_t bytes) { return prober.exchange(0, bytes, false); });
  if (!prober.shares()) return profile;
  profile.shared_rate =
      Prober::rate(profile.rtt_ms,
                   [&](std::int64_t bytes) { return prober.exchange(bytes, bytes, true); }) *
      2;
  // Where both take the same time, what is saved is the copies, and there is nothing to measure.
  profile.shared_from = channel.link().traits().slow_memory ? std::int64_t{SharedArena::kLeastBlock}
                                                            : prober.crossover();
  return profile;
}

}  // namespace airlock
