// A worker that rewrites the memory it shares with a runner while that computes: whatever comes of
// it, only numbers are wrong.
#include <atomic>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/engine/sampler.h"
#include "airlock/model/synth.h"
#include "airlock/ops/rules.h"
#include "airlock/remote/client.h"
#include "airlock/runner/executor.h"

#include "tests/model/support.h"
#include "tests/support/leftovers.h"
#include "tests/support/link_pair.h"
#include "tests/support/plans.h"
#include "tests/support/raw_peer.h"
#include "tests/support/small_model.h"

namespace airlock::hostile_worker_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_fingerprint;

/// Writes random words, among them NaN, infinities and denormals, into every segment it is shown.
class Scribbler {
 public:
  void take(SharedMemory memory) {
    memories_.push_back(std::move(memory));
    threads_.emplace_back([this, bytes = memories_.back().bytes()] {
      std::uint32_t state = 7;
      auto* words = reinterpret_cast<volatile std::uint32_t*>(bytes.data());
      while (!done_) {
        for (std::size_t at = 0; at < bytes.size() / 4; ++at) {
          state = state * 1664525U + 1013904223U;
          words[at] = state % 16 == 0 ? 0x7f800000U | (state & 0x80400001U) : state;
        }
        std::this_thread::yield();
      }
    });
  }
  Scribbler() = default;
  Scribbler(const Scribbler&) = delete;
  Scribbler& operator=(const Scribbler&) = delete;
  ~Scribbler() {
    done_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::list<SharedMemory> memories_;
  std::vector<std::thread> threads_;
};

/// Answers every call without computing: what is not in shared memory is bytes of 0x7f.
void serve(const ModelConfig& config, int lanes, RawPeer& peer) {
  Scribbler scribbler;
  peer.read();
  peer.send(FrameType::kWelcome, 0,
            message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "raw", "raw worker",
                                         lanes, std::int64_t{1} << 30}));
  while (const auto frame = peer.read()) {
    if (frame->header.type == FrameType::kShare) {
      const ShareMessage share = parse_share(frame->message);
      scribbler.take(SharedMemory::adopt(peer.link().take_descriptor(),
                                         static_cast<std::size_t>(share.bytes)));
      continue;
    }
    const CallMessage message = parse_call_message(frame->message);
    const TensorSpecs outputs = infer_outputs(config, message.call);
    std::vector<std::int64_t> behind;
    for (int i = 0; i < outputs.size(); ++i) {
      if (!message.transfer.outputs[static_cast<std::size_t>(i)].shared()) {
        behind.push_back(outputs[i].bytes());
      }
    }
    peer.send(FrameType::kReply, frame->header.request_id, message_bytes(ReplyMessage{1, outputs}),
              Bytes(payload_bytes_of(behind), std::byte{0x7f}));
  }
}

/// Logits are the runner's own copy: they are what they were when they are sorted.
void expect_a_token_or_a_refusal(Sampler& sampler, std::span<const float> logits) {
  try {
    const std::int64_t token = sampler.sample(logits);
    EXPECT_TRUE(token >= 0 && token < static_cast<std::int64_t>(logits.size())) << token;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
    EXPECT_NE(std::string(error.what()).find("is not a number"), std::string::npos) << error.what();
  }
}

class HostileWorker : public ::testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Lanes, HostileWorker, ::testing::Values(1, 3),
                         [](const auto& test) { return std::to_string(test.param); });

TEST_P(HostileWorker, ThatRewritesSharedMemoryMakesOnlyNumbersWrong) {
  ModelConfig config = testing::counted_config({2, 64, 8, 2, 16, 160, 300, 128});
  const testing::TempDir dir;
  synthesize(config, dir.path() / "model");
  const RunnerModel model(Checkpoint::open(dir.path() / "model"));
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 97; ++i) ids.push_back((i * 31) % config.vocab);
  for (Plan plan : testing::plain_plans()) {
    for (const Side lm_head : {Side::kWorker, Side::kRunner}) {
      plan.lm_head = lm_head;
      plan.chunk = 24;
      auto ends = testing::make_ends(Transport::kShm);
      std::thread worker([&, end = std::move(ends.second)]() mutable {
        RawPeer peer(std::move(end));
        try {
          serve(config, GetParam(), peer);
        } catch (const Error& error) {
          ADD_FAILURE() << "the hostile worker failed: " << error.what();
        }
      });
      {
        ClientOptions options;
        options.lanes = GetParam();
        RemoteClient client(std::move(ends.first), config, small_fingerprint(), options, nullptr);
        Executor executor(model, plan, client);
        Sampler sampler{SamplingOptions{1.0, 40, 0.9, 1}};
        for (int run = 0; run < 3; ++run) {
          const auto logits = executor.run(make_passes(plan, 96, 0), std::span(ids).first(96));
          ASSERT_EQ(logits.size(), static_cast<std::size_t>(config.vocab)) << plan.name;
          expect_a_token_or_a_refusal(sampler, logits);
          executor.run(Pass{96, 1, 1}, std::span(ids).last(1));
        }
      }
      worker.join();
      EXPECT_EQ(testing::holdings().mappings, 0U) << plan.name;
    }
  }
}

}  // namespace
}  // namespace airlock::hostile_worker_test
