// The runner's end of a session: remote operators spoken over a link, every call in the ledger.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "airlock/core/pipeline.h"
#include "airlock/link/link.h"
#include "airlock/model/config.h"
#include "airlock/ops/endpoint.h"
#include "airlock/remote/flight.h"
#include "airlock/remote/ledger.h"
#include "airlock/remote/link_probe.h"
#include "airlock/wire/channel.h"
#include "airlock/wire/message.h"

namespace airlock {

struct ClientOptions {
  /// How long the worker may stay silent within a call, or the link not move; 0: without limit.
  std::chrono::milliseconds call_timeout{120'000};
  /// Bytes a second at which messages must move while we wait for them; 0: without limit. A call
  /// whose messages have n bytes ends after three call_timeouts (to send it, until the reply
  /// begins, until that has come) and n / least_rate of waiting, whatever the worker does.
  double least_rate = 65536;
  /// How long the worker may take to answer Hello (it may be loading its weights); 0: no limit.
  std::chrono::milliseconds hello_timeout{30'000};
  /// How this runner introduces itself in the worker's log.
  std::string name = "airlock";
  /// Calls under way at the same time, at most HelloMessage::kMaxLanes; the worker may agree to
  /// fewer. More than one takes two threads, one that sends and one that receives.
  int lanes = 1;
  /// Bytes of memory shared with the worker over a shm: link; the worker may agree to less.
  std::int64_t shared_bytes = std::int64_t{4} << 30;
  /// Measure the link when the session opens (some ms); `profile` says what is known already.
  bool probe = false;
  std::optional<LinkProfile> profile = {};
  /// Bytes of the smallest and of the largest tensor that travels through shared memory. What is
  /// larger goes through the socket in pieces. No `shared_from`: as the profile says, else
  /// kSharedFrom.
  std::optional<std::int64_t> shared_from = {};
  std::int64_t shared_up_to = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kSharedFrom = SharedArena::kLeastBlock;  ///< without a measurement
  /// Of tensors that travel behind their messages, as all do where shared memory is no faster (over
  /// a shaped link). Auto needs a profile, and never compresses without one.
  CompressMode compress = CompressMode::kNone;
};

/// What a worker answered instead of a reply: its code, and its text after the name of the call.
/// Codes that say something of this process become others: kInvalidArgument kUnsupported,
/// kCheckFailed kInternal, kInterrupted kConnectionLost. The session goes on, unless the worker
/// closes it.
class WorkerFailure final : public Error {
 public:
  using Error::Error;
};

/// Speaks to one worker. What the worker answers is checked in full (kind, request id, number,
/// dtype and shape of tensors, lengths) before it is used; it is never trusted with more than
/// numbers. After any Error but a WorkerFailure the session is over: it closes, and later calls
/// fail with kConnectionLost. Tensors travel in the dtypes that a call says. Not thread-safe.
class RemoteClient final : public Operators, public TransferMemory {
 public:
  /// Opens a session. `config` and `fingerprint` are of the runner's own model. `ledger` may be
  /// null and must outlive the client.
  /// Throws Error(kModelMismatch) if the worker holds another model, and as execute does.
  RemoteClient(std::unique_ptr<Link> link, const ModelConfig& config,
               const FingerprintBytes& fingerprint, const ClientOptions& options,
               LedgerSink* ledger);
  ~RemoteClient() override;

  [[nodiscard]] int lanes() const noexcept override { return lanes_; }
  /// Lanes that the worker agreed to, and how many of them to use from now on (at first all). No
  /// call may be under way.
  [[nodiscard]] int most_lanes() const noexcept { return static_cast<int>(flights_.size()); }
  void use_lanes(int lanes);
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override;
  void collect(CallTicket ticket) override;
  /// Takes no round trip. With other calls under way the worker is told when they have ended.
  void end_sequence(std::uint32_t sequence) override;
  void abandon() noexcept override;
  /// The oldest call under way, if there is one.
  [[nodiscard]] CallTicket oldest() const noexcept { return {collected_}; }
  [[nodiscard]] DType native_dtype(DType wire) const noexcept override { return wire; }
  [[nodiscard]] BufferPool memory() override;

  /// What the worker said of itself.
  [[nodiscard]] const WelcomeMessage& worker() const noexcept { return welcome_; }
  /// Asks the worker for its memory. Not counted in the ledger. No call may be under way.
  WorkerStats stats();
  /// What the link to it offers.
  [[nodiscard]] LinkTraits link_traits() const noexcept { return channel_.link().traits(); }
  /// What the link was found to do when the session opened, or was said to do; else nothing.
  [[nodiscard]] const std::optional<LinkProfile>& profile() const noexcept { return profile_; }
  /// Where calls are recorded from now on; null: nowhere. Gives the one before.
  LedgerSink* exchange_ledger(LedgerSink* ledger) noexcept {
    return std::exchange(ledger_, ledger);
  }

 private:
  /// Runs `body`; puts `subject` (the call, or "Init") in front of what it throws, and ends the
  /// session unless that is a WorkerFailure.
  template <typename Subject, typename Body>
  void within_session(const Subject& subject, const Body& body);

  void open(const FingerprintBytes& fingerprint);
  /// Measures the link unless its profile is known, and settles how tensors travel.
  void settle_transfer();
  [[nodiscard]] Flight& flight(std::uint64_t number) { return *flights_[number % flights_.size()]; }
  void start_threads();
  void tell_ended();
  void send(Flight& flight);
  void receive(Flight& flight);
  /// A worker that ends a session while we still send may have said why: throws that, if so.
  void throw_parting_words();
  /// Waits for the answer to a request; nothing of it is read beyond its message.
  IncomingFrame await(FrameType expected, std::uint64_t request_id,
                      std::optional<std::chrono::milliseconds> timeout);

  Channel channel_;
  const ModelConfig config_;
  const ClientOptions options_;
  LedgerSink* ledger_;
  MessageBuilder builder_;
  FlightMemory memory_;
  WelcomeMessage welcome_;
  std::optional<LinkProfile> profile_;
  std::uint64_t next_request_ = 1;
  std::int64_t calls_ = 0;
  std::chrono::steady_clock::time_point began_;
  LedgerEntry entry_;                             ///< reused, so that its strings do not allocate
  std::vector<std::unique_ptr<Flight>> flights_;  ///< a ring: call number n is in n % lanes
  int lanes_ = 1;                                 ///< of them in use
  std::uint64_t submitted_ = 0;
  std::uint64_t collected_ = 0;
  std::vector<std::uint32_t> ended_;  ///< sequences of which the worker is to be told
  bool hung_up_ = false;  ///< sending found the connection lost; belongs to the thread that sends
  std::unique_ptr<Pipeline> threads_;  ///< once several lanes were used
};

}  // namespace airlock
