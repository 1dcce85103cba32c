#include "airlock/link/shaped_link.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "airlock/core/error.h"

namespace airlock {
namespace {

using std::chrono::milliseconds;

// Bytes are let through in pieces of two milliseconds: long against what waking both sides costs,
// which share cores with the work that a slow link is to be hidden behind, short against what one
// measures. A message is never late for it, only its first bytes.
constexpr double kPieceSeconds = 2e-3;
constexpr std::size_t kLeastPiece = 4 << 10;
constexpr std::size_t kMostPiece = 1 << 20;
// Parts of a message in one piece; more parts take more pieces.
constexpr std::size_t kPartsPerPiece = 16;

// What may be on its way to us beyond bandwidth times round trip: what arrives while a thread of
// ours waits its turn on a busy machine, and what a socket would buffer.
constexpr double kSlackSeconds = 5e-3;
constexpr std::size_t kSlackBytes = 512 << 10;
constexpr std::size_t kMostCapacity = 64 << 20;

// A sleep that ended late is made up for, as far as a busy machine may delay one. A machine that
// was suspended owes its link nothing.
constexpr milliseconds kMostLate{5};

constexpr milliseconds kForever = std::chrono::hours(24 * 365);

constexpr const char* kClosedHere = "it was closed on this side";
constexpr const char* kClosedThere = "the peer closed it";

std::size_t piece_bytes(const LinkShape& shape) {
  return std::clamp(static_cast<std::size_t>(shape.bytes_per_second * kPieceSeconds), kLeastPiece,
                    kMostPiece);
}

std::size_t capacity(const LinkShape& shape) {
  const double under_way = shape.bytes_per_second * (shape.rtt_ms / 1e3 + kSlackSeconds);
  const auto bounded = std::min(under_way, static_cast<double>(kMostCapacity - kSlackBytes));
  return static_cast<std::size_t>(bounded) + kSlackBytes;
}

ShaperClock::Duration round_trip(const LinkShape& shape) {
  return std::chrono::ceil<ShaperClock::Duration>(
      std::chrono::duration<double, std::milli>(shape.rtt_ms));
}

LinkTraits slowed(LinkTraits traits) {
  traits.slow_memory = true;
  return traits;
}

}  // namespace

ShapedLink::ShapedLink(std::unique_ptr<Link> inner, const LinkShape& shape,
                       const LinkOptions& options, ShaperClock& clock)
    : LinkBase(inner->transport(), slowed(inner->traits()), inner->peer(), options),
      inner_(std::move(inner)),
      clock_(clock),
      piece_bytes_(piece_bytes(shape)),
      out_(shape.bytes_per_second),
      in_(shape.bytes_per_second, round_trip(shape), capacity(shape)),
      thread_([this] { pump(); }) {}

ShapedLink::~ShapedLink() {
  close();
  thread_.join();
}

void ShapedLink::set_stall_timeout(milliseconds timeout) {
  LinkBase::set_stall_timeout(timeout);
  inner_->set_stall_timeout(timeout);
}

void ShapedLink::set_least_rate(double bytes_per_second) {
  LinkBase::set_least_rate(bytes_per_second);
  inner_->set_least_rate(bytes_per_second);
}

void ShapedLink::close() noexcept {
  if (closed_.exchange(true)) return;
  inner_->close();
  sending_ends_.set();
  receiving_ends_.set();
  receiver_.alarm.set();
  pumper_.alarm.set();
}

std::optional<ShapedLink::Time> ShapedLink::end_of(Limit limit) const {
  if (!limit || *limit >= kForever) return std::nullopt;
  return clock_.now() + *limit;
}

// Sleeps without the lock. close() sets closed_ before the alarm, so that clearing it here loses
// nothing.
void ShapedLink::sleep(std::unique_lock<std::mutex>& lock, Sleeper& sleeper,
                       std::optional<Time> until) {
  lock.unlock();
  clock_.wait(sleeper.alarm, until, stop());
  lock.lock();
  sleeper.waits = false;
  sleeper.alarm.clear();
}

void ShapedLink::wake(Sleeper& sleeper) noexcept {
  if (std::exchange(sleeper.waits, false)) sleeper.alarm.set();
}

void ShapedLink::send(std::span<const std::span<const std::byte>> parts) {
  PartCursor<const std::byte> cursor(parts);
  Patience patience = this->patience();
  while (!cursor.done()) {
    std::array<std::span<const std::byte>, kPartsPerPiece> spans;
    const auto piece = std::span(spans).first(cursor.fill(spans, piece_bytes_));
    std::size_t bytes = 0;
    for (const auto& span : piece) bytes += span.size();

    const Time due = out_.carry(clock_.now() - late_, bytes);
    wait_until(due, sending_ends_, "send", cursor.left());
    const Time begin = clock_.now();
    inner_->send(piece);
    count_sent(bytes);
    cursor.advance(bytes);
    patience.spend(clock_.now() - begin);
    patience.earn(bytes);
    if (patience.is_spent()) fail_stalled("send", cursor.left());
    // While this piece is handed over the next one is on the link already. A peer that holds us up
    // for longer leaves the link idle.
    const Duration handing = std::min(clock_.now() - begin, out_.time_of(bytes));
    late_ = lateness(begin, due) + handing;
  }
}

ShapedLink::Duration ShapedLink::lateness(Time now, Time due) noexcept {
  return std::clamp<Duration>(now - due, Duration::zero(), kMostLate);
}

void ShapedLink::send_with_descriptor(std::span<const std::span<const std::byte>> parts,
                                      int descriptor) {
  std::size_t bytes = 0;
  for (const auto& part : parts) bytes += part.size();
  carry_out(bytes);
  inner_->send_with_descriptor(parts, descriptor);
  count_sent(bytes);
}

void ShapedLink::carry_out(std::size_t bytes) {
  if (bytes == 0) return;
  const Time due = out_.carry(clock_.now() - late_, bytes);
  wait_until(due, sending_ends_, "send", bytes);
  late_ = lateness(clock_.now(), due);
}

void ShapedLink::carry_in(std::size_t bytes) {
  if (bytes == 0) return;
  // They follow what told of them; what comes after them may be in memory, or here, already.
  memory_due_ = std::max(memory_due_, taken_due_) + out_.time_of(bytes);
  wait_until(memory_due_, receiving_ends_, "receive", bytes);
}

void ShapedLink::wait_until(Time due, const Alarm& closing, const char* verb, std::size_t left) {
  while (true) {
    if (closed_) fail_lost(verb, left, kClosedHere);
    if (clock_.now() >= due) return;
    clock_.wait(closing, due, stop());
  }
}

std::size_t ShapedLink::wait_for_bytes(std::size_t most, std::size_t left) {
  std::unique_lock lock(mutex_);
  Patience& patience = receiving();
  while (true) {
    if (closed_) fail_lost("receive", left, kClosedHere);
    if (!in_.empty()) {
      const std::size_t bytes = std::min(most, in_.run());
      const Time due = in_.due(bytes);
      if (clock_.now() >= due) {
        taken_due_ = due;
        return bytes;
      }
      sleep(lock, receiver_, due);
    } else if (ended_) {
      if (failure_) std::rethrow_exception(failure_);
      return 0;
    } else if (patience.is_spent()) {
      fail_stalled("receive", left);
    } else {
      const Time begin = clock_.now();
      receiver_.waits = true;
      sleep(lock, receiver_, end_of(patience.left()));
      patience.spend(clock_.now() - begin);
    }
  }
}

void ShapedLink::take(PartCursor<std::byte>& cursor, std::size_t bytes) {
  count_received(bytes);
  receiving().earn(bytes);
  while (bytes > 0) {
    // Only this thread moves the front, and the other writes behind it: no lock for the copy.
    const auto from = in_.front(std::min(bytes, cursor.front().size()));
    std::memcpy(cursor.front().data(), from.data(), from.size());
    cursor.advance(from.size());
    bytes -= from.size();
    const std::lock_guard lock(mutex_);
    in_.drop(from.size());
    if (in_.roomy()) wake(pumper_);
  }
}

void ShapedLink::receive(std::span<const std::span<std::byte>> parts) {
  PartCursor<std::byte> cursor(parts);
  while (!cursor.done()) {
    const std::size_t left = cursor.left();
    const std::size_t bytes = wait_for_bytes(std::min(left, piece_bytes_), left);
    if (bytes == 0) fail_lost("receive", left, kClosedThere);
    take(cursor, bytes);
  }
}

std::size_t ShapedLink::receive_some(std::span<std::byte> into) {
  if (wait_for_bytes(1, into.size()) == 0) return 0;
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    bytes = std::min(into.size(), in_.arrived(clock_.now()));
    taken_due_ = in_.due(bytes);
  }
  const std::span<std::byte> parts[] = {into};
  PartCursor<std::byte> cursor(parts);
  take(cursor, bytes);
  return bytes;
}

bool ShapedLink::wait_readable(std::optional<milliseconds> timeout) {
  receiving().renew();
  std::unique_lock lock(mutex_);
  const std::optional<Time> end = end_of(timeout);
  while (!closed_) {
    const Time now = clock_.now();
    std::optional<Time> until = end;
    if (!in_.empty()) {
      const Time due = in_.due(1);
      if (now >= due) return true;
      until = std::min(due, end.value_or(due));
    } else if (ended_) {
      if (failure_) std::rethrow_exception(failure_);
      return false;
    }
    if (end && now >= *end) fail_silent(timeout);
    receiver_.waits = in_.empty();
    sleep(lock, receiver_, until);
  }
  return false;
}

void ShapedLink::pump() noexcept {
  std::exception_ptr failure;
  try {
    pump_until_end();
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  failure_ = failure;
  wake(receiver_);
}

void ShapedLink::pump_until_end() {
  while (true) {
    const std::span<std::byte> space = wait_for_space();
    // Whether silence is a stall is for who receives to say: only this wait has no limit.
    if (space.empty() || !inner_->wait_readable(std::nullopt)) return;
    const std::size_t bytes = inner_->receive_some(space);
    if (bytes == 0) return;
    require(!inner_->take_descriptor(), ErrorCode::kProtocol,
            "{}: it sent a descriptor that nobody asked for", peer());
    const std::lock_guard lock(mutex_);
    in_.add(bytes, clock_.now());
    wake(receiver_);
  }
}

std::span<std::byte> ShapedLink::wait_for_space() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    const std::span<std::byte> space = in_.space();
    if (!space.empty()) return space.first(std::min(space.size(), kMostPiece));
    pumper_.waits = true;
    sleep(lock, pumper_, std::nullopt);
  }
  return {};
}

std::unique_ptr<Link> shape_link(std::unique_ptr<Link> inner, const LinkShape& shape,
                                 const LinkOptions& options, ShaperClock& clock) {
  check_link_shape(shape);
  return std::make_unique<ShapedLink>(std::move(inner), shape, options, clock);
}

std::unique_ptr<Link> shape_as_asked(std::unique_ptr<Link> link, const LinkOptions& options) {
  if (!options.shape) return link;
  return shape_link(std::move(link), *options.shape, options);
}

}  // namespace airlock
