// A session whose thread gets no more memory ends alone, wherever that hits it.
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/count_allocations.h"
#include "tests/worker/hostile_runners.h"

namespace airlock::no_memory_test {
namespace {

using testing::RawPeer;

class NoMemory : public testing::HostileRunners {
 protected:
  NoMemory() : HostileRunners(Transport::kUnix) {}
};

TEST_F(NoMemory, EndsOneSessionAtMostAndNeverTheWorker) {
  constexpr int kMost = 40;  // more than a session asks for from here to its end
  for (int after = 0; after < kMost; ++after) {
    backend.during = [after](const Call&) {
      testing::refuse_allocations_of_this_thread(after);
      const std::vector<int> scratch(1000);
      ASSERT_EQ(scratch.size(), 1000U);
    };
    against([&](RawPeer& peer) {
      open(peer);
      try {
        send_call(peer, 1);
        // Then what ends a session with words.
        peer.send(FrameType::kCall, 2, testing::bytes_of("no message"));
        while (peer.read()) {
        }
      } catch (const Error&) {  // it may end in the middle
      }
    });
  }
}

TEST_F(NoMemory, IsToldAsALimit) {
  backend.during = [](const Call&) {
    testing::refuse_allocations_of_this_thread(0);
    const struct Restore {
      ~Restore() { testing::refuse_allocations_of_this_thread(-1); }
    } restore;
    const std::vector<int> scratch(1000);
  };
  against([&](RawPeer& peer) {
    open(peer);
    send_call(peer, 1);
    expect_failure(peer, ErrorCode::kResourceExhausted, "no memory");
    backend.during = nullptr;
    expect_reply(peer, 2);
  });
}

}  // namespace
}  // namespace airlock::no_memory_test
