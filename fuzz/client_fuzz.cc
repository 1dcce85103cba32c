// A worker that says anything at all, after a good Welcome or without one: every call ends with an
// answer or a typed error, and the ledger stays sane.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "airlock/remote/client.h"

#include "fuzz/input.h"
#include "fuzz/memory_link.h"
#include "tests/support/call_memory.h"
#include "tests/support/raw_peer.h"

namespace airlock {
namespace {

void use(RemoteClient& client) {
  const ModelConfig config = testing::small_config();
  for (const DType dtype : {DType::kF32, DType::kI8}) {
    for (const testing::LegalCall& legal : testing::legal_calls(config, 3, dtype)) {
      if (legal.call.op == Op::kMatmul) continue;
      testing::CallMemory memory(config, legal.call, 1);
      try {
        client.execute(legal.call, memory.inputs, memory.outputs);
      } catch (const WorkerFailure&) {  // the session goes on
      }
    }
  }
  client.stats();
}

void check(const MemoryLedger& ledger) {
  for (const LedgerEntry& entry : ledger.entries()) {
    if (entry.worker_ms < 0 || entry.receive_ms < 0 || entry.sent_bytes <= 0 ||
        entry.received_bytes <= 0 || entry.overhead_bytes <= 0) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace airlock

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  fuzzing::silence_log();
  const std::span input(data, size);
  testing::Bytes stream;
  if (!input.empty() && input[0] % 2 == 1) {
    stream = testing::frame_bytes(
        FrameType::kWelcome, 0,
        testing::message_bytes(WelcomeMessage{testing::small_fingerprint(), {}, "fuzz", "fuzz"}));
  }
  testing::append(stream, fuzzing::stream_of(input.subspan(std::min<std::size_t>(1, size))));
  MemoryLedger ledger;
  try {
    RemoteClient client(std::make_unique<fuzzing::MemoryLink>(std::move(stream)),
                        testing::small_config(), testing::small_fingerprint(), {}, &ledger);
    use(client);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) std::abort();
  }
  check(ledger);
  return 0;
}
