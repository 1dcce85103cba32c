// A client that shares memory with its worker, up to a budget and with workers that misuse it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/link/shaped_link.h"
#include "airlock/math/convert.h"
#include "airlock/ops/rules.h"
#include "airlock/remote/client.h"

#include "tests/support/fake_worker.h"
#include "tests/support/leftovers.h"
#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"

namespace airlock::client_shared_test {
namespace {

using testing::Bytes;
using testing::CallMemory;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_fingerprint;
using namespace std::chrono_literals;

constexpr std::int64_t kTokens = 300;  // [300, 10] takes three pages, [4, 300, 303] 1.4 MiB

ModelConfig long_config() {
  ModelConfig config = testing::small_config();
  config.max_position = 4096;
  return config;
}

/// x [300, 10] -> two of [300, 14].
Call the_call() {
  return testing::legal_calls(long_config(), kTokens, DType::kF32)[3].call;
}

/// Budgets: of both sides, and what makes them small.
struct Budget {
  const char* name;
  std::int64_t runner;
  std::int64_t worker;
};

class ClientShared : public ::testing::TestWithParam<std::tuple<Budget, int, DType>> {
 protected:
  /// Conversions of this thread have OpenMP's threads from now on, which stay.
  static void SetUpTestSuite() {
    std::vector<float> wide(1 << 20);
    std::vector<std::byte> narrow(2 * wide.size());
    const Shape shape{static_cast<std::int64_t>(wide.size())};
    convert({{DType::kF32, shape}, reinterpret_cast<const std::byte*>(wide.data())},
            {{DType::kBF16, shape}, narrow.data()});
  }
  static std::int64_t agreed() {
    const Budget& budget = std::get<0>(GetParam());
    return std::min(budget.runner, budget.worker);
  }
  static ClientOptions client_options() {
    ClientOptions options;
    options.shared_bytes = std::get<0>(GetParam()).runner;
    options.lanes = std::get<1>(GetParam());
    return options;
  }
  static ServerOptions server_options() {
    ServerOptions options;
    options.shared_bytes = std::get<0>(GetParam()).worker;
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Budgets, ClientShared,
    ::testing::Combine(::testing::Values(Budget{"plenty", 1 << 30, 1 << 30},
                                         Budget{"none", 0, 1 << 30},
                                         Budget{"none_allowed", 1 << 30, 0},
                                         Budget{"less_than_a_page", 4095, 1 << 30},
                                         Budget{"spent_soon", 40000, 1 << 30},
                                         Budget{"spent_soon_by_the_worker", 1 << 30, 100000},
                                         Budget{"less_than_the_largest_tensor", 1 << 20, 1 << 20}),
                       ::testing::Values(1, 4),
                       ::testing::Values(DType::kF32, DType::kBF16, DType::kI8)),
    [](const auto& test) {
      return fmt::format("{}_{}_{}", std::get<0>(test.param).name, std::get<1>(test.param),
                         dtype_name(std::get<2>(test.param)));
    });

TEST_P(ClientShared, GetsRightResultsWhateverTheBudgetAndAccountsForAllBytes) {
  const auto before = testing::holdings();
  {
    testing::FakeWorker worker(long_config(), server_options());
    MemoryLedger ledger;
    RemoteClient client(worker.dial(Transport::kShm), long_config(), small_fingerprint(),
                        client_options(), &ledger);
    std::int64_t sent = 0;
    std::int64_t received = 0;
    const auto calls = testing::legal_calls(long_config(), kTokens, std::get<2>(GetParam()));
    for (std::uint64_t round = 0; round < 3; ++round) {
      std::vector<CallMemory> memory;
      for (const auto& [call, outputs] : calls) {
        memory.emplace_back(long_config(), call, round);
        sent += total_bytes(call.inputs);
        received += total_bytes(outputs);
      }
      const auto lanes = static_cast<std::size_t>(client.lanes());
      for (std::size_t i = 0; i < calls.size() + lanes; ++i) {
        if (i >= lanes) client.collect(client.oldest());
        if (i < calls.size()) client.submit(calls[i].call, memory[i].inputs, memory[i].outputs);
      }
      // Sums of integers below 8 stay exact in f32; narrower tensors round the answers.
      if (std::get<2>(GetParam()) != DType::kF32) continue;
      for (const CallMemory& each : memory) EXPECT_TRUE(each.answered());
    }
    std::int64_t counted_sent = 0;
    std::int64_t counted_received = 0;
    for (const LedgerEntry& entry : ledger.entries()) {
      counted_sent += entry.sent_bytes;
      counted_received += entry.received_bytes;
      EXPECT_LE(entry.overhead_bytes, 2 * 256);
    }
    EXPECT_EQ(counted_sent, sent);
    EXPECT_EQ(counted_received, received);
    const bool shares = testing::holdings().mappings > before.mappings;
    EXPECT_EQ(shares, agreed() >= 4096);
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

/// Stands still but for the sleeps that a shape asks for, which take no real time; a timeout, half
/// a minute away, never comes. So what it measures is the same on any machine.
class JumpingClock final : public ShaperClock {
 public:
  [[nodiscard]] Time now() override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void wait(const Alarm& alarm, std::optional<Time> until, const StopToken& stop) override {
    if (!until || *until - now() > 10s) {
      (void)alarm.wait(std::nullopt, stop);
      return;
    }
    const std::lock_guard lock(mutex_);
    now_ = std::max(now_, *until);
  }

 private:
  std::mutex mutex_;
  Time now_{1h};
};

/// Runs the_call over a shaped link that could share memory: time by the shape's own clock, and
/// bytes that went through the socket.
struct ShapedCall {
  double seconds = 0;
  std::int64_t through_socket = 0;
};
ShapedCall run_shaped(double bytes_per_second, CompressMode compress) {
  testing::FakeWorker worker(long_config(), {});
  JumpingClock clock;
  auto shaped = shape_link(worker.dial(Transport::kShm), {bytes_per_second, 0}, {}, clock);
  const Link& link = *shaped;
  ClientOptions options;
  options.compress = compress;
  RemoteClient client(std::move(shaped), long_config(), small_fingerprint(), options, nullptr);
  CallMemory memory(long_config(), the_call(), 3);
  const std::uint64_t before = link.bytes_sent() + link.bytes_received();
  const auto began = clock.now();
  client.execute(the_call(), memory.inputs, memory.outputs);
  const std::chrono::duration<double> elapsed = clock.now() - began;
  EXPECT_TRUE(memory.answered());
  return {elapsed.count(),
          static_cast<std::int64_t>(link.bytes_sent() + link.bytes_received() - before)};
}

TEST(ClientShaped, TensorsInSharedMemoryTakeTheTimeOfTheShape) {
  const Call call = the_call();
  const std::int64_t bytes =
      total_bytes(call.inputs) + total_bytes(infer_outputs(long_config(), call));
  const ShapedCall shared = run_shaped(1e6, CompressMode::kNone);
  EXPECT_LT(shared.through_socket, 1000);
  // Some 50 ms, and what the socket carries; unshaped the tensors take none. Each direction's time
  // is rounded to the clock's ticks.
  EXPECT_GE(shared.seconds, static_cast<double>(bytes) / 1e6 - 1e-6);
  EXPECT_LE(shared.seconds, static_cast<double>(bytes + shared.through_socket) / 1e6 + 1e-6);
}

TEST(ClientShaped, TensorsThatAreToBeCompressedTravelThroughTheSocket) {
  EXPECT_GT(run_shaped(1e9, CompressMode::kZstd).through_socket, 1000);
}

TEST_P(ClientShared, TensorsInItsOwnMemoryNeedNoCopyAndGetTheSameResults) {
  const auto before = testing::holdings();
  {
    testing::FakeWorker worker(long_config(), server_options());
    Buffer in, out[2];  // outlive the client
    {
      RemoteClient client(worker.dial(Transport::kShm), long_config(), small_fingerprint(),
                          client_options(), nullptr);
      Call call = the_call();
      call.inputs[0].dtype = call.reply_dtype = std::get<2>(GetParam());
      CallMemory memory(long_config(), call, 3);
      const BufferPool pool = client.memory();
      const auto size = static_cast<std::size_t>(memory.inputs[0].bytes());
      in = pool.acquire(size);
      std::copy_n(memory.inputs[0].data, size, in.data());
      const ConstTensor input{memory.inputs[0].spec, in.data()};
      std::vector<Tensor> outputs = memory.outputs;
      for (std::size_t i = 0; i < 2; ++i) {
        out[i] = pool.acquire(static_cast<std::size_t>(outputs[i].bytes()));
        outputs[i].data = out[i].data();
      }
      client.execute(call, memory.inputs, memory.outputs);
      client.execute(call, {&input, 1}, outputs);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_TRUE(
            std::equal(out[i].data(), out[i].data() + outputs[i].bytes(), memory.outputs[i].data));
      }
    }
    worker.join();
    std::fill_n(out[0].data(), out[0].size(), std::byte{1});
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

/// A worker that speaks raw bytes over shm: and has mapped what the runner shares.
class MappingPeer {
 public:
  explicit MappingPeer(std::unique_ptr<Link> link) : peer(std::move(link)) {}

  void open(int lanes, std::int64_t shared_bytes) {
    peer.read();
    peer.send(FrameType::kWelcome, 0,
              message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "raw", "raw worker",
                                           lanes, shared_bytes}));
  }
  /// The next call; maps segments that come before it.
  std::optional<CallMessage> read_call() {
    while (const auto frame = peer.read()) {
      if (frame->header.type == FrameType::kCall) {
        id = frame->header.request_id;
        return parse_call_message(frame->message);
      }
      const ShareMessage share = parse_share(frame->message);
      segments.emplace(share.segment, SharedMemory::adopt(peer.link().take_descriptor(),
                                                          static_cast<std::size_t>(share.bytes)));
    }
    return std::nullopt;
  }
  void reply(std::size_t payload = 0) {
    peer.send(FrameType::kReply, id,
              message_bytes(ReplyMessage{1, infer_outputs(long_config(), the_call())}),
              Bytes(payload));
  }

  RawPeer peer;
  std::uint64_t id = 0;
  std::map<std::uint16_t, SharedMemory> segments;
};

using Script = std::function<void(MappingPeer&)>;

class HostileMapper : public ::testing::TestWithParam<int> {
 protected:
  /// As many calls as there are lanes, against a worker with this script; the first error.
  std::optional<Error> run(const Script& script, std::int64_t offered = 1 << 30,
                           std::int64_t budget = 1 << 30) {
    const auto before = testing::holdings();
    std::optional<Error> caught;
    auto ends = testing::make_ends(Transport::kShm);
    std::thread worker([&, end = std::move(ends.second)]() mutable {
      MappingPeer peer(std::move(end));
      try {
        peer.open(GetParam(), offered);
        script(peer);
        while (peer.peer.read()) {
        }
      } catch (const Error&) {  // the client gave up
      }
    });
    try {
      ClientOptions options;
      options.lanes = GetParam();
      options.shared_bytes = budget;
      RemoteClient client(std::move(ends.first), long_config(), small_fingerprint(), options,
                          nullptr);
      std::vector<CallMemory> memory;
      for (std::uint64_t i = 0; i < 4; ++i) memory.emplace_back(long_config(), the_call(), i);
      for (std::size_t i = 0; i < memory.size(); ++i) {
        client.submit(the_call(), memory[i].inputs, memory[i].outputs);
        if (GetParam() == 1) client.collect(client.oldest());
      }
      if (GetParam() > 1) {
        for (std::size_t i = 0; i < memory.size(); ++i) client.collect(client.oldest());
      }
    } catch (const Error& error) {
      caught = error;
    }
    worker.join();
    EXPECT_TRUE(testing::holds_no_more_than(before));
    return caught;
  }
  void expect(ErrorCode code, const std::string& text, const Script& script) {
    const auto error = run(script);
    ASSERT_TRUE(error) << "no error, expected: " << text;
    EXPECT_EQ(error->code(), code) << error->what();
    EXPECT_NE(std::string(error->what()).find(text), std::string::npos) << error->what();
  }
};

INSTANTIATE_TEST_SUITE_P(Lanes, HostileMapper, ::testing::Values(1, 4),
                         [](const auto& test) { return std::to_string(test.param); });

TEST_P(HostileMapper, SharesNothingBeforeItIsAskedToAndNoMoreThanItsBudget) {
  for (const std::int64_t budget : {std::int64_t{0}, std::int64_t{20000}, std::int64_t{1} << 30}) {
    std::int64_t shared = 0;
    EXPECT_FALSE(run(
        [&](MappingPeer& peer) {
          for (int i = 0; i < 4; ++i) {
            const auto call = peer.read_call();
            std::int64_t payload = 0;
            for (std::size_t at = 0; at < 2; ++at) {
              if (!call->transfer.outputs[at].shared()) {
                payload +=
                    static_cast<std::int64_t>(padding_after(static_cast<std::uint64_t>(payload))) +
                    kTokens * 14 * 4;
              }
            }
            peer.reply(static_cast<std::size_t>(payload));
          }
          for (const auto& [number, memory] : peer.segments) {
            shared += static_cast<std::int64_t>(memory.bytes().size());
          }
        },
        std::numeric_limits<std::int64_t>::max(), budget))
        << budget;
    EXPECT_LE(shared, budget);
    EXPECT_EQ(shared > 0, budget > 0);
  }
}

TEST_P(HostileMapper, NumbersAreAllThatAWorkerCanMakeOfSharedPages) {
  EXPECT_FALSE(run([](MappingPeer& peer) {
    std::atomic<bool> done{false};
    std::vector<std::thread> scribblers;
    for (int i = 0; i < 4; ++i) {
      peer.read_call();
      if (i == 0) {
        for (auto& [number, memory] : peer.segments) {
          scribblers.emplace_back([&done, bytes = memory.bytes()] {
            std::uint32_t state = 1;
            auto* words = reinterpret_cast<volatile std::uint32_t*>(bytes.data());
            for (std::size_t at = 0; !done; at = (at + 1) % (bytes.size() / 4)) {
              words[at] = state = state * 1664525U + 1013904223U;
            }
          });
        }
      }
      peer.reply();
    }
    while (peer.peer.read()) {
    }
    done = true;
    for (std::thread& each : scribblers) each.join();
  }));
}

TEST_P(HostileMapper, ThatSendsTensorsBehindAReplyAsWellIsRefused) {
  expect(ErrorCode::kProtocol, "a frame carries 64 bytes of tensors, its message describes 0",
         [](MappingPeer& peer) {
           peer.read_call();
           peer.reply(64);
         });
}

TEST_P(HostileMapper, ThatSendsDescriptorsIsRefused) {
  expect(ErrorCode::kProtocol, "a descriptor that nobody asked for", [](MappingPeer& peer) {
    peer.read_call();
    const Bytes frame = testing::frame_bytes(
        FrameType::kReply, 1,
        message_bytes(ReplyMessage{1, infer_outputs(long_config(), the_call())}));
    const std::span<const std::byte> part(frame);
    peer.peer.link().send_with_descriptor({&part, 1}, STDERR_FILENO);
  });
}

TEST_P(HostileMapper, ThatSharesMemoryOfItsOwnIsRefused) {
  expect(ErrorCode::kProtocol, "nobody asked for", [](MappingPeer& peer) {
    peer.read_call();
    const SharedMemory memory = SharedMemory::create(4096);
    const Bytes frame =
        testing::frame_bytes(FrameType::kShare, 1, message_bytes(ShareMessage{1, 4096}));
    const std::span<const std::byte> part(frame);
    peer.peer.link().send_with_descriptor({&part, 1}, memory.file());
  });
}

TEST_P(HostileMapper, ThatGoesAwayWithSegmentsMappedIsALostConnection) {
  expect(ErrorCode::kConnectionLost, "closed", [](MappingPeer& peer) {
    peer.read_call();
    peer.peer.close();
  });
}

}  // namespace
}  // namespace airlock::client_shared_test
