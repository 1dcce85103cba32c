// Hostile runners that share memory with a worker.
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/memory_budget.h"
#include "airlock/core/process_memory.h"
#include "airlock/link/shared_memory.h"

#include "tests/worker/hostile_runners.h"

namespace airlock::conversation_shared_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;

constexpr std::int64_t kPage = 4096;

/// Lanes the runner asks for: with one, the thread that reads also computes and answers.
class ConversationShared : public testing::HostileRunners,
                           public ::testing::WithParamInterface<int> {
 protected:
  ConversationShared() : HostileRunners(Transport::kShm) {
    lanes = GetParam();
    options.shared_bytes = 8 * kPage;
  }

  static void send_share(RawPeer& peer, const ShareMessage& message, int file,
                         std::span<const std::byte> payload = {}) {
    const Bytes frame = testing::frame_bytes(FrameType::kShare, 0, message_bytes(message), payload);
    const std::span<const std::byte> part(frame);
    if (file < 0) return peer.send(frame);
    peer.link().send_with_descriptor({&part, 1}, file);
  }
  static SharedMemory share(RawPeer& peer, std::uint16_t segment, std::int64_t pages) {
    SharedMemory memory = SharedMemory::create(static_cast<std::size_t>(pages * kPage));
    send_share(peer, {segment, pages * kPage}, memory.file());
    return memory;
  }
  static Bytes call_frame(std::uint64_t id, const Call& call, const Transfer& transfer,
                          std::size_t payload) {
    MessageBuilder builder;
    return testing::frame_bytes(FrameType::kCall, id,
                                testing::copy_of(builder.build(call, transfer)), Bytes(payload));
  }
  /// The session ends with this reason, whatever was sent last.
  static void expect_last_words(RawPeer& peer, const std::string& reason) {
    expect_failure(peer, ErrorCode::kProtocol, reason);
    EXPECT_FALSE(peer.read());
  }
};

INSTANTIATE_TEST_SUITE_P(Lanes, ConversationShared, ::testing::Values(1, 4),
                         [](const auto& test) { return std::to_string(test.param); });

/// Lifts the limit of the process's budget at its end.
struct Limits {
  Limits() = default;
  Limits(const Limits&) = delete;
  Limits& operator=(const Limits&) = delete;
  ~Limits() { process_budget().allow_more(MemoryBudget::kUnlimited); }
};

/// x [3, 10] lies at the segment's start, the outputs of [3, 14] at 256 and 512.
Transfer places(std::uint16_t segment) {
  Transfer transfer;
  transfer.inputs[0] = {segment, 0};
  transfer.outputs[0] = {segment, 256};
  transfer.outputs[1] = {segment, 512};
  return transfer;
}

TEST_P(ConversationShared, AnswersWhatLiesInSharedMemory) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    auto* floats = reinterpret_cast<float*>(memory.bytes().data());
    std::fill_n(floats, 30, 2.0F);
    peer.send(call_frame(1, testing::small_call(), places(1), 0));
    expect_answer(peer, 1);
    for (int i = 0; i < 42; ++i) {
      EXPECT_EQ(floats[64 + i], 60.0F);
      EXPECT_EQ(floats[128 + i], 61.0F);
    }
    EXPECT_EQ(floats[64 + 42], 0.0F) << "the worker wrote past an output";
  });
}

TEST_P(ConversationShared, EndsWithARunnerThatSharesMoreThanItMay) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 9);
    expect_last_words(peer, "more bytes of shared memory, 0 of 32768 are used");
  });
  against([&](RawPeer& peer) {
    open(peer);
    std::vector<SharedMemory> memory;
    for (std::uint16_t segment = 1; segment <= 4; ++segment) {
      memory.push_back(share(peer, segment, 2));
    }
    expect_reply(peer, 1);
    memory.push_back(share(peer, 5, 1));
    expect_last_words(peer, "more bytes of shared memory, 32768 of 32768 are used");
  });
  options.shared_bytes = 0;
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    expect_last_words(peer, "more bytes of shared memory");
  });
}

TEST_P(ConversationShared, EndsWithASegmentThatIsNone) {
  const auto expect_end_of = [&](const std::string& reason, const ShareMessage& message,
                                 const Fd& file) {
    against([&](RawPeer& peer) {
      open(peer);
      expect_reply(peer, 1);
      send_share(peer, message, file.get());
      expect_last_words(peer, reason);
    });
  };
  const SharedMemory good = SharedMemory::create(kPage);
  const auto copy = [&] { return Fd(::fcntl(good.file(), F_DUPFD_CLOEXEC, 0)); };
  expect_end_of("without its descriptor", {1, kPage}, Fd());
  expect_end_of("segment 0 of shared memory, expected", {0, kPage}, copy());
  expect_end_of("segment 1025 of shared memory, expected", {1025, kPage}, copy());
  expect_end_of("of 4096 bytes and announced 8192", {1, 2 * kPage}, copy());
  expect_end_of("of 4096 bytes and announced 1", {1, 1}, copy());
  expect_end_of("more bytes of shared memory", {1, 0}, copy());
  expect_end_of("more bytes", {1, std::numeric_limits<std::int64_t>::max()}, copy());
  expect_end_of("sealed size", {1, kPage}, Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)));
  Fd unsealed(::memfd_create("airlock-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), kPage), 0);
  expect_end_of("sealed size", {1, kPage}, unsealed);
}

TEST_P(ConversationShared, EndsWithARunnerWhosePagesTheWorkerWouldHaveToMake) {
  options.shared_bytes = std::numeric_limits<std::int64_t>::max();
  const std::int64_t bytes = available_memory() / kPage * 2 * kPage;
  const Fd sparse(::memfd_create("airlock-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(sparse.get(), bytes), 0);
  ASSERT_EQ(::fcntl(sparse.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  against([&](RawPeer& peer) {
    open(peer);
    send_share(peer, {1, bytes}, sparse.get());
    expect_last_words(peer, "of which 0 are present");
  });
}

TEST_P(ConversationShared, CountsASegmentAgainstTheWorkersBudgetUntilItIsUnmapped) {
  const std::int64_t before = process_budget().used();
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 8);
    expect_reply(peer, 1);
    EXPECT_GE(process_budget().used(), before + 8 * kPage);
  });
  against([&](RawPeer& peer) {
    open(peer);
    process_budget().allow_more(4 * kPage);
    const Limits unlimited;
    const SharedMemory memory = share(peer, 1, 8);
    expect_failure(peer, ErrorCode::kResourceExhausted, "bytes of shared memory: ");
    EXPECT_FALSE(peer.read());
  });
}

TEST_P(ConversationShared, KeepsNothingOfWhatARunnerKeepsAfterItsSession) {
  // Time after time, each within its budget: what the worker wrote into holes would add up.
  std::vector<Fd> files;
  for (int session = 0; session < 3; ++session) {
    const Fd& file =
        files.emplace_back(::memfd_create("airlock-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(file.get(), kPage), 0);
    ASSERT_EQ(::fallocate(file.get(), 0, 0, kPage), 0);
    ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    against([&](RawPeer& peer) {
      open(peer);
      send_share(peer, {1, kPage}, file.get());
      expect_reply(peer, 2);
      ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage), 0);
      peer.send(call_frame(1, testing::small_call(), places(1), 0));
      expect_answer(peer, 1);
    });
  }
  for (const Fd& file : files) {
    struct stat status {};
    ASSERT_EQ(::fstat(file.get(), &status), 0);
    EXPECT_EQ(status.st_blocks, 0);
  }
}

TEST_P(ConversationShared, EndsWhenAShareIsNoMessageOrComesWhereNoneBelongs) {
  const SharedMemory memory = SharedMemory::create(kPage);
  const ShareMessage message{1, kPage};
  expect_end(testing::frame_bytes(FrameType::kShare, 0, message_bytes(message)),
             "came before Hello");
  expect_end(testing::frame_bytes(FrameType::kShare, 0, testing::bytes_of("nonsense")),
             "Share message of 8 bytes is malformed", true);
  against([&](RawPeer& peer) {
    open(peer);
    send_share(peer, message, memory.file(), Bytes(64));
    expect_last_words(peer, "shared memory came with tensors");
  });
  against([&](RawPeer& peer) {
    open(peer);
    send_share(peer, message, memory.file());
    expect_reply(peer, 1);
    send_share(peer, message, memory.file());
    expect_last_words(peer, "segment 1 of shared memory came twice");
  });
}

TEST_P(ConversationShared, EndsWithARunnerThatSendsDescriptorsNobodyAskedFor) {
  const SharedMemory memory = SharedMemory::create(kPage);
  const Call call = testing::small_call();
  const Bytes frame = testing::frame_bytes(FrameType::kCall, 1, message_bytes(call), Bytes(120));
  const std::span<const std::byte> all(frame);
  for (const std::size_t with : {std::size_t{0}, std::size_t{40}, frame.size() - 1}) {
    against([&](RawPeer& peer) {
      open(peer);
      const std::span<const std::byte> rest = all.subspan(with);
      if (with > 0) peer.send(all.first(with));
      peer.link().send_with_descriptor({&rest, 1}, memory.file());
      expect_answer(peer, 1);
      expect_last_words(peer, "a descriptor that nobody asked for");
    });
  }
}

TEST_P(ConversationShared, APlaceThatIsNotInsideASegmentFailsTheCallAndTheSessionGoesOn) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory one = share(peer, 1, 1);
    const SharedMemory three = share(peer, 3, 2);
    const Call call = testing::small_call();
    std::uint64_t id = 1;
    const auto expect_refusal = [&](const Transfer& transfer, std::size_t payload,
                                    const std::string& text, const Call& made) {
      peer.send(call_frame(++id, made, transfer, payload));
      expect_failure(peer, ErrorCode::kProtocol, text);
      expect_reply(peer, ++id);
    };
    for (const Place& place : {Place{1, kPage}, Place{1, kPage - 64}, Place{3, 2 * kPage},
                               Place{1, 64LL * 0xffffffff}, Place{2, 0}}) {
      Transfer transfer;
      transfer.inputs[0] = place;
      expect_refusal(transfer, 0, "a tensor of 120 bytes at", call);
      transfer = {};
      transfer.outputs[1] = place;
      expect_refusal(transfer, 120, "a tensor of 168 bytes at", call);
    }
    for (const std::uint16_t segment : {4, 1024, 65535}) {
      Transfer transfer;
      transfer.inputs[0] = {segment, 0};
      expect_refusal(transfer, 0, "of shared memory, 3 are known", call);
      transfer = {};
      transfer.outputs[0] = {segment, 0};
      expect_refusal(transfer, 120, "of shared memory, 3 are known", call);
    }
    Transfer behind;  // says that it lies in shared memory and sends it all the same
    behind.inputs[0] = {1, 0};
    expect_refusal(behind, 120, "its tensors take 0 bytes", call);
    expect_refusal({}, 0, "its tensors take 120 bytes", call);
    const Call ids = testing::legal_calls(small_config(), 3, DType::kF32)[0].call;
    expect_refusal(behind, 0, "token ids came in shared memory", ids);
    EXPECT_EQ(backend.calls, static_cast<int>(id - 1) / 2);
  });
}

TEST_P(ConversationShared, MorePlacesThanTensorsAreNoMessage) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    Transfer transfer;
    transfer.inputs[1] = {1, 0};
    peer.send(call_frame(1, testing::small_call(), transfer, 120));
    expect_last_words(peer, "2 places for at most 1 tensors");
  });
}

TEST_P(ConversationShared, PlacesThatOverlapAreTheRunnersOwnLoss) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    Transfer transfer;
    transfer.inputs[0] = transfer.outputs[0] = {1, 0};
    transfer.outputs[1] = {1, 64};
    for (std::uint64_t id = 1; id <= 4; ++id) {
      peer.send(call_frame(id, testing::small_call(), transfer, 0));
    }
    for (std::uint64_t id = 1; id <= 4; ++id) expect_answer(peer, id);
  });
}

TEST_P(ConversationShared, SurvivesARunnerThatRewritesPagesWhileTheWorkerComputes) {
  std::atomic<bool> computing{false};
  backend.during = [&](const Call&) { computing = true; };
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    std::atomic<bool> done{false};
    std::thread scribbler([&] {
      std::uint32_t state = 1;
      auto* words = reinterpret_cast<volatile std::uint32_t*>(memory.bytes().data());
      for (std::size_t at = 0; !done; at = (at + 1) % (kPage / 4)) {
        words[at] = state = state * 1664525U + 1013904223U;
      }
    });
    for (std::uint64_t id = 1; id <= 200; ++id) {
      peer.send(call_frame(id, testing::small_call(), places(1), 0));
      expect_answer(peer, id);
    }
    done = true;
    scribbler.join();
    EXPECT_TRUE(computing);
    expect_reply(peer, 201);
  });
}

TEST_P(ConversationShared, SurvivesARunnerThatTakesPagesAwayWhileTheWorkerComputes) {
  against([&](RawPeer& peer) {
    open(peer);
    const SharedMemory memory = share(peer, 1, 1);
    expect_reply(peer, 100);
    for (std::uint64_t id = 1; id <= 20; ++id) {
      ASSERT_EQ(::fallocate(memory.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage),
                0);
      EXPECT_NE(::ftruncate(memory.file(), 0), 0);
      peer.send(call_frame(id, testing::small_call(), places(1), 0));
      expect_answer(peer, id);
    }
  });
}

TEST_P(ConversationShared, ReleasesAllWhenARunnerThatSharesLeavesInACall) {
  leaves_in_a_call([&](RawPeer& peer) {
    const SharedMemory memory = share(peer, 1, 8);
    peer.send(FrameType::kStatsRequest, 9, {});
    ASSERT_TRUE(peer.read()) << "the worker has mapped it";
    peer.send(call_frame(1, testing::small_call(), places(1), 0));
  });
}

}  // namespace
}  // namespace airlock::conversation_shared_test
