#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "airlock/link/inproc.h"
#include "airlock/link/link_base.h"
#include "airlock/link/pair.h"
#include "airlock/link/parts.h"
#include "airlock/link/scheme.h"
#include "airlock/link/shaped_link.h"

namespace airlock {
namespace {

// What may lie unread without its sender waiting: about what a socket buffers, so that code which
// answers before it reads works on every transport; small enough to stay in the L2 cache.
constexpr std::size_t kRingBytes = 64 << 10;
// Bytes copied while the lock is held: 8 MiB take about a millisecond, the longest that a timeout,
// a stop or close() has to wait. Large, because memcpy streams past the caches only in large
// copies.
constexpr std::size_t kPieceBytes = 8 << 20;

enum class Moved { kSome, kNothing, kClosedHere, kClosedThere };

// One direction. Small messages are copied into a ring; a message that does not fit is lent: the
// writer waits while the reader copies straight from its memory. The ring is always older than what
// is lent. All members are guarded by mutex_.
class Pipe {
 public:
  // Throws nothing; `sent` grows by what was buffered or, at the latest on return, by what was
  // read. kSome: all of it. kNothing: patience is spent. When `stop` throws, nothing stays lent.
  Moved write(PartCursor<const std::byte>& cursor, Patience patience, const StopToken& stop) {
    std::unique_lock lock(mutex_);
    if (reader_closed_ || writer_closed_) return closed_to_writer();
    if (cursor.left() <= kRingBytes - used_) {
      while (!cursor.done()) push(cursor);
      wake(reader_waits_, readable_);
      return Moved::kSome;
    }
    const Loan loan(*this, cursor, lock);
    wake(reader_waits_, readable_);
    while (true) {
      const std::size_t left = cursor.left();
      patience.during(
          [&](Limit limit) { return sleep(lock, writer_waits_, writable_, limit, stop); });
      patience.earn(left - cursor.left());
      if (cursor.done()) return Moved::kSome;
      if (reader_closed_ || writer_closed_) return closed_to_writer();
      if (patience.is_spent()) return Moved::kNothing;
    }
  }

  // Moves as much as fits at once into `cursor`, waiting for the first byte.
  Moved read(PartCursor<std::byte>& cursor, Limit stall, const StopToken& stop) {
    std::unique_lock lock(mutex_);
    if (const Moved state = await_bytes(lock, stall, stop); state != Moved::kSome) return state;
    if (used_ > 0) {
      while (!cursor.done() && used_ > 0) pull(cursor);
    } else {
      borrow(cursor);
    }
    return Moved::kSome;
  }

  Moved wait_readable(Limit timeout, const StopToken& stop) {
    std::unique_lock lock(mutex_);
    return await_bytes(lock, timeout, stop);
  }

  void close(bool Pipe::*end) noexcept {
    const std::lock_guard lock(mutex_);
    this->*end = true;
    wake(reader_waits_, readable_);
    wake(writer_waits_, writable_);
  }
  bool writer_closed_ = false;
  bool reader_closed_ = false;

 private:
  // Takes the loan back however write() ends; the lock may be free if a wait threw.
  class Loan {
   public:
    Loan(Pipe& pipe, PartCursor<const std::byte>& cursor, std::unique_lock<std::mutex>& lock)
        : pipe_(pipe), lock_(lock) {
      pipe_.lent_ = &cursor;
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() {
      if (!lock_.owns_lock()) lock_.lock();
      pipe_.lent_ = nullptr;
    }

   private:
    Pipe& pipe_;
    std::unique_lock<std::mutex>& lock_;
  };

  [[nodiscard]] Moved closed_to_writer() const {
    return writer_closed_ ? Moved::kClosedHere : Moved::kClosedThere;
  }

  static void wake(bool& waits, Event& event) noexcept {
    if (std::exchange(waits, false)) event.set();
  }

  // Sleeps without the lock until the other side wakes us. False when `limit` passed.
  static bool sleep(std::unique_lock<std::mutex>& lock, bool& waits, Event& event, Limit limit,
                    const StopToken& stop) {
    waits = true;
    lock.unlock();
    const bool woken = event.wait(limit, stop);
    lock.lock();
    waits = false;
    event.clear();
    return woken;
  }

  Moved await_bytes(std::unique_lock<std::mutex>& lock, Limit limit, const StopToken& stop) {
    const Deadline deadline(limit);
    while (true) {
      if (reader_closed_) return Moved::kClosedHere;
      if (used_ > 0 || lent_ != nullptr) return Moved::kSome;
      if (writer_closed_) return Moved::kClosedThere;
      if (!sleep(lock, reader_waits_, readable_, deadline.left(), stop) && used_ == 0 &&
          lent_ == nullptr && !reader_closed_ && !writer_closed_) {
        return Moved::kNothing;
      }
    }
  }

  void push(PartCursor<const std::byte>& cursor) {
    const std::size_t tail = (head_ + used_) % kRingBytes;
    const std::size_t count = std::min(cursor.front().size(), kRingBytes - tail);
    std::memcpy(ring_.data() + tail, cursor.front().data(), count);
    used_ += count;
    cursor.advance(count);
  }

  void pull(PartCursor<std::byte>& cursor) {
    const std::size_t count = std::min({cursor.front().size(), kRingBytes - head_, used_});
    std::memcpy(cursor.front().data(), ring_.data() + head_, count);
    head_ = (head_ + count) % kRingBytes;
    used_ -= count;
    cursor.advance(count);
  }

  void borrow(PartCursor<std::byte>& cursor) {
    std::size_t budget = kPieceBytes;
    while (!cursor.done() && !lent_->done() && budget > 0) {
      const std::size_t count = std::min({cursor.front().size(), lent_->front().size(), budget});
      std::memcpy(cursor.front().data(), lent_->front().data(), count);
      cursor.advance(count);
      lent_->advance(count);
      budget -= count;
    }
    if (!lent_->done()) return;
    lent_ = nullptr;
    wake(writer_waits_, writable_);
  }

  std::mutex mutex_;
  Event readable_;
  Event writable_;
  bool reader_waits_ = false;
  bool writer_waits_ = false;
  PartCursor<const std::byte>* lent_ = nullptr;
  std::size_t head_ = 0;
  std::size_t used_ = 0;
  std::array<std::byte, kRingBytes> ring_;
};

class InprocLink final : public LinkBase {
 public:
  InprocLink(std::string peer, const LinkOptions& options, std::shared_ptr<Pipe> out,
             std::shared_ptr<Pipe> in)
      : LinkBase(Transport::kInproc, scheme_of(Transport::kInproc).traits, std::move(peer),
                 options),
        out_(std::move(out)),
        in_(std::move(in)) {}
  ~InprocLink() override { close(); }

  using Link::receive;
  using Link::send;

  void send(std::span<const std::span<const std::byte>> parts) override {
    PartCursor<const std::byte> cursor(parts);
    if (cursor.done()) return;
    const Counting counting(*this, cursor);
    check(out_->write(cursor, patience(), stop()), "send", cursor.left());
  }

  void receive(std::span<const std::span<std::byte>> parts) override {
    PartCursor<std::byte> cursor(parts);
    while (!cursor.done()) {
      const std::size_t before = cursor.left();
      check(read(cursor), "receive", before);
      count_received(before - cursor.left());
    }
  }

  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override {
    const std::span<std::byte> parts[] = {into};
    PartCursor<std::byte> cursor(parts);
    const Moved state = read(cursor);
    if (state == Moved::kClosedThere) return 0;
    check(state, "receive", into.size());
    const std::size_t taken = into.size() - cursor.left();
    count_received(taken);
    return taken;
  }

  bool wait_readable(std::optional<std::chrono::milliseconds> timeout) override {
    receiving().renew();
    const Moved state = in_->wait_readable(timeout, stop());
    if (state == Moved::kNothing) fail_silent(timeout);
    return state == Moved::kSome;
  }

  void close() noexcept override {
    out_->close(&Pipe::writer_closed_);
    in_->close(&Pipe::reader_closed_);
  }

 private:
  Moved read(PartCursor<std::byte>& cursor) {
    Patience& patience = receiving();
    const std::size_t before = cursor.left();
    const Moved state =
        patience.during([&](Limit limit) { return in_->read(cursor, limit, stop()); });
    patience.earn(before - cursor.left());
    return state;
  }

  // Counts what left, also when a stop ends the send.
  class Counting {
   public:
    Counting(InprocLink& link, const PartCursor<const std::byte>& cursor)
        : link_(link), cursor_(cursor), total_(cursor.left()) {}
    Counting(const Counting&) = delete;
    Counting& operator=(const Counting&) = delete;
    ~Counting() { link_.count_sent(total_ - cursor_.left()); }

   private:
    InprocLink& link_;
    const PartCursor<const std::byte>& cursor_;
    const std::size_t total_;
  };

  void check(Moved state, const char* verb, std::size_t left) const {
    switch (state) {
      case Moved::kSome:
        return;
      case Moved::kNothing:
        fail_stalled(verb, left);
      case Moved::kClosedHere:
        fail_lost(verb, left, "it was closed on this side");
      case Moved::kClosedThere:
        fail_lost(verb, left, "the peer closed it");
    }
  }

  const std::shared_ptr<Pipe> out_;
  const std::shared_ptr<Pipe> in_;
};

}  // namespace

std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_inproc_links(
    const std::string& name, const LinkOptions& first, const LinkOptions& second) {
  const auto forth = std::make_shared<Pipe>();
  const auto back = std::make_shared<Pipe>();
  return {std::make_unique<InprocLink>(name, first, forth, back),
          std::make_unique<InprocLink>(name, second, back, forth)};
}

std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_inproc_pair(
    const LinkOptions& first, const LinkOptions& second) {
  auto [one, other] = make_inproc_links("inproc:", first, second);
  return {shape_as_asked(std::move(one), first), shape_as_asked(std::move(other), second)};
}

}  // namespace airlock
