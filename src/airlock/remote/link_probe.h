// What a link does, measured on it: round trip, rates, and from which size shared memory wins.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>

#include "airlock/remote/flight.h"
#include "airlock/wire/channel.h"

namespace airlock {

/// Figures of one link between this runner and this worker.
struct LinkProfile {
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  double rtt_ms = 0;        ///< of an empty request and its answer, median
  double send_rate = 0;     ///< bytes per second behind messages, runner to worker
  double receive_rate = 0;  ///< worker to runner
  double shared_rate = 0;   ///< through shared memory: written here, read there, and back; 0: none
  /// Bytes from which a tensor is faster in shared memory than behind its message; kNever without.
  std::int64_t shared_from = kNever;

  friend bool operator==(const LinkProfile&, const LinkProfile&) = default;
};

/// Measures in some ms, by Probe requests whose bytes are written before they are sent and read
/// after they arrived, as tensors are. No call may be under way. `memory` as calls use it.
/// `next_id` gives request ids; `await` waits for the answer to one. Throws as those do.
LinkProfile probe_link(Channel& channel, const FlightMemory& memory, MessageBuilder& builder,
                       const std::function<std::uint64_t()>& next_id,
                       const std::function<IncomingFrame(std::uint64_t id)>& await);

}  // namespace airlock
