// The call that a client makes of workers that speak raw bytes, and their honest answers.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/ops/rules.h"

#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"
#include "tests/support/small_model.h"

namespace airlock::testing {

/// x [3, 10] -> two outputs of [3, 14].
inline Call the_call(DType wire = DType::kF32) {
  return legal_calls(small_config(), 3, wire)[3].call;
}
inline TensorSpecs its_outputs(DType wire = DType::kF32) {
  return infer_outputs(small_config(), the_call(wire));
}

inline Bytes reply_payload(const TensorSpecs& specs) {
  std::vector<std::int64_t> sizes;
  for (const TensorSpec& spec : specs) sizes.push_back(spec.bytes());
  return Bytes(payload_bytes_of(sizes));
}

inline void reply(RawPeer& peer, std::uint64_t id, const TensorSpecs& specs, std::uint64_t ns = 0) {
  peer.send(FrameType::kReply, id, message_bytes(ReplyMessage{ns, specs}), reply_payload(specs));
}

inline WelcomeMessage raw_welcome(int lanes = 1, std::int64_t shared_bytes = 0) {
  return {small_fingerprint(), DType::kF32, "raw", "raw worker", lanes, shared_bytes};
}

/// Reads Hello and answers it as a worker would.
inline void open(RawPeer& peer, const WelcomeMessage& welcome = raw_welcome()) {
  peer.read();
  peer.send(FrameType::kWelcome, 0, message_bytes(welcome));
}

}  // namespace airlock::testing
