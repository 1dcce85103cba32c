// A runner that says anything at all, after a good Hello or without one: the conversation ends, the
// sessions and the memory are given back.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "airlock/worker/conversation.h"

#include "fuzz/input.h"
#include "fuzz/memory_link.h"
#include "tests/support/fake_backend.h"
#include "tests/support/raw_peer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  fuzzing::silence_log();
  static testing::FakeBackend backend;
  ServerOptions options;
  options.max_payload = 1 << 16;
  options.kv_budget = 40 * testing::FakeSequence::kRowBytes;
  ServerContext context{
      backend, testing::small_fingerprint(), options, {backend, options.session_limits()}, {}};
  const std::span input(data, size);
  testing::Bytes stream;
  if (!input.empty() && input[0] % 2 == 1) {
    stream = testing::frame_bytes(
        FrameType::kHello, 0,
        testing::message_bytes(HelloMessage{testing::small_fingerprint(), "fuzz"}));
  }
  testing::append(stream, fuzzing::stream_of(input.subspan(std::min<std::size_t>(1, size))));
  Conversation conversation(context, std::make_unique<fuzzing::MemoryLink>(std::move(stream)));
  conversation.run();
  if (!conversation.done() || context.sessions.size() != 0 || context.pool.bytes_in_use() != 0 ||
      testing::FakeSequence::alive() != 0) {
    std::abort();
  }
  return 0;
}
