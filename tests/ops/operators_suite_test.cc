// The contract of Operators: every implementation and every decorator keeps it, alone and stacked.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/ops/calls_under_way.h"
#include "airlock/ops/endpoint.h"
#include "airlock/ops/wire_dtype.h"
#include "airlock/worker/local_operators.h"

#include "tests/engine/golden.h"
#include "tests/support/call_memory.h"
#include "tests/support/small_model.h"
#include "tests/support/split.h"

namespace airlock::operators_suite_test {
namespace {

using testing::CallMemory;
using testing::legal_calls;
using testing::LegalCall;

constexpr const char* kCheckpoint = "llama3-gqa";

/// A decorator that changes what crosses and undoes it, as masks do: it negates every input of a
/// linear call, and what comes back. It keeps both of each call under way.
class Negating final : public ForwardingOperators {
 public:
  explicit Negating(Operators& next) : ForwardingOperators(next), kept_(next.lanes()) {}

  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    Kept& kept = kept_.next();
    kept.negated.clear();
    kept.outputs.clear();
    std::vector<ConstTensor> changed(inputs.begin(), inputs.end());
    if (call.op == Op::kBatchLinear || call.op == Op::kLmHead) {
      kept.outputs.assign(outputs.begin(), outputs.end());
      const std::int64_t count = inputs[0].spec.shape.elements();
      const auto* values = inputs[0].as<float>();
      kept.negated.assign(values, values + count);
      negate(kept.negated.data(), count);
      changed[0] = {inputs[0].spec, reinterpret_cast<const std::byte*>(kept.negated.data())};
    }
    const CallTicket ticket = ForwardingOperators::submit(call, changed, outputs);
    kept_.begin(ticket);
    return ticket;
  }
  void collect(CallTicket ticket) override {
    Kept& kept = kept_.end(ticket);
    ForwardingOperators::collect(ticket);
    for (const Tensor& output : kept.outputs) {
      negate(output.as<float>(), output.spec.shape.elements());
    }
  }
  void abandon() noexcept override {
    ForwardingOperators::abandon();
    kept_.clear();
  }

 private:
  struct Kept {
    std::vector<float> negated;
    std::vector<Tensor> outputs;
  };
  static void negate(float* values, std::int64_t count) {
    std::transform(values, values + count, values, [](float value) { return -value; });
  }
  CallsUnderWay<Kept> kept_;
};

class Passive final : public ForwardingOperators {
 public:
  using ForwardingOperators::ForwardingOperators;
};

/// Counts, and changes the text of errors.
class Watching final : public TransparentOperators {
 public:
  using TransparentOperators::TransparentOperators;

 private:
  void begun(const Call&, CallTicket) override { ++under_way_; }
  void ended(CallTicket) override { --under_way_; }
  void failed(const Error& error) override {
    throw Error(error.code(), std::string(error.what()) + ": watched");
  }
  int under_way_ = 0;
};

/// A stack with what it needs.
struct Stack {
  std::unique_ptr<testing::TestSession> session;
  std::vector<std::unique_ptr<Operators>> parts;

  [[nodiscard]] Operators& bottom() {
    if (session) return session->client();
    return *parts.front();
  }
  [[nodiscard]] Operators& top() { return parts.empty() ? bottom() : *parts.back(); }
  template <typename Decorator, typename... Args>
  Stack&& with(Args&&... args) && {
    parts.push_back(std::make_unique<Decorator>(top(), std::forward<Args>(args)...));
    return std::move(*this);
  }
};

Stack remote(testing::TestWorker& worker, const ModelConfig& config, Transport transport,
             int lanes) {
  ClientOptions options;
  options.lanes = lanes;
  Stack stack;
  stack.session = std::make_unique<testing::TestSession>(worker, config, transport, options);
  return stack;
}

Stack local(testing::TestWorker& worker) {
  Stack stack;
  stack.parts.push_back(std::make_unique<LocalOperators>(worker.backend()));
  return stack;
}

struct Case {
  std::string name;
  std::function<Stack(testing::TestWorker&, const ModelConfig&)> make;
};

std::vector<Case> cases() {
  const auto over = [](Transport transport, int lanes) {
    return [=](testing::TestWorker& worker, const ModelConfig& config) {
      return remote(worker, config, transport, lanes);
    };
  };
  return {
      {"Local", [](auto& worker, const auto&) { return local(worker); }},
      {"Inproc", over(Transport::kInproc, 1)},
      {"InprocLanes", over(Transport::kInproc, 3)},
      {"Unix", over(Transport::kUnix, 2)},
      {"Shm", over(Transport::kShm, 2)},
      {"Tcp", over(Transport::kTcp, 1)},
      {"ForwardingOverLanes",
       [=](auto& w, const auto& c) {
         return over(Transport::kInproc, 3)(w, c).template with<Passive>();
       }},
      {"TransparentOverLocal",
       [](auto& w, const auto&) { return local(w).template with<Watching>(); }},
      {"TransparentOverLanes",
       [=](auto& w, const auto& c) {
         return over(Transport::kShm, 3)(w, c).template with<Watching>();
       }},
      {"WireDTypeF32",
       [=](auto& w, const auto& c) {
         return over(Transport::kInproc, 2)(w, c).template with<WireDTypeOperators>(DType::kF32);
       }},
      {"NegatingOverLanes",
       [=](auto& w, const auto& c) {
         return over(Transport::kShm, 3)(w, c).template with<Negating>();
       }},
      {"AllTogether",
       [=](auto& w, const auto& c) {
         return over(Transport::kUnix, 2)(w, c)
             .template with<Watching>()
             .template with<Negating>()
             .template with<WireDTypeOperators>(DType::kF32);
       }},
  };
}

class OperatorsContract : public ::testing::TestWithParam<Case> {
 protected:
  OperatorsContract() : stack_(GetParam().make(worker_, config_)), reference_(worker_.backend()) {}

  /// Calls of every operator on their own sequences, so that they may be made in any order.
  std::vector<LegalCall> calls() { return legal_calls(config_, 5, DType::kF32); }

  void expect_answer(const CallMemory& got, const LegalCall& legal, std::uint64_t seed) {
    CallMemory expected(config_, legal.call, seed);
    reference_.execute(legal.call, expected.inputs, expected.outputs);
    for (std::size_t i = 0; i < expected.outputs.size(); ++i) {
      const std::int64_t count = expected.outputs[i].spec.shape.elements();
      const auto* a = got.outputs[i].as<float>();
      const auto* b = expected.outputs[i].as<float>();
      EXPECT_TRUE(std::equal(a, a + count, b)) << describe(legal.call) << ", output " << i;
    }
  }

  static ErrorCode code_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "no error";
    return ErrorCode::kInternal;
  }

  std::shared_ptr<const Checkpoint> checkpoint_ =
      Checkpoint::open(testing::checkpoint_path(kCheckpoint));
  const ModelConfig config_ = checkpoint_->config();
  testing::TestWorker worker_{testing::checkpoint_path(kCheckpoint), DType::kF32};
  Stack stack_;
  LocalOperators reference_;
};

INSTANTIATE_TEST_SUITE_P(Stacks, OperatorsContract, ::testing::ValuesIn(cases()),
                         [](const auto& at) { return at.param.name; });

TEST_P(OperatorsContract, ExecuteGivesWhatTheBackendGives) {
  std::uint64_t seed = 1;
  for (const LegalCall& legal : calls()) {
    CallMemory memory(config_, legal.call, seed);
    stack_.top().execute(legal.call, memory.inputs, memory.outputs);
    expect_answer(memory, legal, seed++);
  }
}

TEST_P(OperatorsContract, AsManyCallsAsLanesMayBeUnderWayAndEndInOrder) {
  const int lanes = stack_.top().lanes();
  ASSERT_EQ(lanes, stack_.bottom().lanes()) << "no decorator loses lanes";
  const std::vector<LegalCall> all = calls();
  const auto count = static_cast<std::size_t>(lanes);
  std::vector<CallMemory> memory;
  std::vector<CallTicket> tickets;
  for (std::size_t i = 0; i < all.size() + count; ++i) {
    if (i >= count) {
      const std::size_t oldest = i - count;
      stack_.top().collect(tickets[oldest]);
      expect_answer(memory[oldest], all[oldest], oldest);
    }
    if (i < all.size()) {
      memory.emplace_back(config_, all[i].call, i);
      tickets.push_back(stack_.top().submit(all[i].call, memory[i].inputs, memory[i].outputs));
      EXPECT_EQ(tickets[i].number, tickets[0].number + i);
    }
  }
}

TEST_P(OperatorsContract, OneCallMoreThanLanesAndAnotherTicketThanTheOldestAreRefused) {
  const LegalCall legal = calls()[1];
  const auto lanes = static_cast<std::size_t>(stack_.top().lanes());
  std::vector<CallMemory> memory;
  std::vector<CallTicket> tickets;
  for (std::size_t i = 0; i <= lanes; ++i) memory.emplace_back(config_, legal.call, i);
  for (std::size_t i = 0; i < lanes; ++i) {
    tickets.push_back(stack_.top().submit(legal.call, memory[i].inputs, memory[i].outputs));
  }
  EXPECT_EQ(code_of([&] {
              stack_.top().submit(legal.call, memory[lanes].inputs, memory[lanes].outputs);
            }),
            ErrorCode::kInternal);
  EXPECT_EQ(code_of([&] { stack_.top().collect({tickets[0].number + 7}); }), ErrorCode::kInternal);
  for (std::size_t i = 0; i < lanes; ++i) {
    stack_.top().collect(tickets[i]);
    expect_answer(memory[i], legal, i);
  }
  EXPECT_EQ(code_of([&] { stack_.top().collect(tickets.back()); }), ErrorCode::kInternal);
}

TEST_P(OperatorsContract, ACallAgainstTheRulesIsNotUnderWay) {
  const LegalCall legal = calls()[1];
  Call illegal = legal.call;
  illegal.layer = static_cast<int>(config_.layers);
  CallMemory memory(config_, legal.call, 3);
  EXPECT_EQ(code_of([&] { stack_.top().submit(illegal, memory.inputs, memory.outputs); }),
            ErrorCode::kProtocol);
  stack_.top().execute(legal.call, memory.inputs, memory.outputs);
  expect_answer(memory, legal, 3);
}

TEST_P(OperatorsContract, AbandonedCallsLeaveNoTrace) {
  const LegalCall legal = calls()[1];
  const auto lanes = static_cast<std::size_t>(stack_.top().lanes());
  std::vector<CallMemory> memory;
  for (std::size_t i = 0; i < lanes; ++i) {
    memory.emplace_back(config_, legal.call, i);
    stack_.top().submit(legal.call, memory[i].inputs, memory[i].outputs);
  }
  stack_.top().abandon();
  stack_.top().abandon();
  CallMemory after(config_, legal.call, 77);
  stack_.top().execute(legal.call, after.inputs, after.outputs);
  expect_answer(after, legal, 77);
}

TEST_P(OperatorsContract, BytesThatCrossAreThoseOfTheLoweredCall) {
  if (!stack_.session) return;  // nothing crosses
  for (const LegalCall& legal : calls()) {
    stack_.session->ledger.clear();
    CallMemory memory(config_, legal.call, 5);
    stack_.top().execute(legal.call, memory.inputs, memory.outputs);
    const Call lowered = stack_.top().lower(legal.call);
    const auto& entries = stack_.session->ledger.entries();
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].op, lowered.op);
    EXPECT_EQ(entries[0].sent_bytes, total_bytes(lowered.inputs));
    EXPECT_EQ(entries[0].received_bytes, total_bytes(infer_outputs(config_, lowered)));
  }
}

TEST_P(OperatorsContract, EndingASequenceThatNeverBeganIsNoError) {
  EXPECT_NO_THROW(stack_.top().end_sequence(12345));
  const LegalCall legal = calls()[1];
  CallMemory memory(config_, legal.call, 3);
  stack_.top().execute(legal.call, memory.inputs, memory.outputs);
  expect_answer(memory, legal, 3);
}

TEST(WireDType, TravelsAsItSaysAndLeavesIdsAlone) {
  const auto checkpoint = Checkpoint::open(testing::checkpoint_path(kCheckpoint));
  const ModelConfig config = checkpoint->config();
  testing::TestWorker worker(testing::checkpoint_path(kCheckpoint), DType::kF32);
  for (const DType wire : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    testing::TestSession session(worker, config);
    WireDTypeOperators operators(session.client(), wire);
    for (const LegalCall& legal : legal_calls(config, 5, DType::kF32)) {
      session.ledger.clear();
      CallMemory memory(config, legal.call, 5);
      operators.execute(legal.call, memory.inputs, memory.outputs);
      const Call lowered = with_wire_dtype(legal.call, wire);
      EXPECT_EQ(operators.lower(legal.call), lowered);
      EXPECT_EQ(session.ledger.entries()[0].sent_bytes, total_bytes(lowered.inputs));
      EXPECT_EQ(session.ledger.entries()[0].received_bytes,
                total_bytes(infer_outputs(config, lowered)));
    }
  }
}

TEST(Endpoint, TransferMemoryStaysInReachBehindTransparentDecoratorsOnly) {
  const auto checkpoint = Checkpoint::open(testing::checkpoint_path(kCheckpoint));
  testing::TestWorker worker(testing::checkpoint_path(kCheckpoint), DType::kF32);
  testing::TestSession session(worker, checkpoint->config());
  const Endpoint bottom(session.client());
  EXPECT_EQ(bottom.native_dtype(DType::kBF16), DType::kBF16);
  Watching watching(session.client());
  const Endpoint seen = bottom.through(watching);
  EXPECT_EQ(&seen.operators(), &watching);
  EXPECT_EQ(seen.native_dtype(DType::kBF16), DType::kBF16);
  Negating negating(watching);
  const Endpoint masked = seen.through(negating);
  EXPECT_EQ(masked.native_dtype(DType::kBF16), DType::kF32);
  Watching outer(negating);
  EXPECT_EQ(masked.through(outer).native_dtype(DType::kBF16), DType::kF32)
      << "what is out of reach stays so";
  EXPECT_THROW((void)bottom.through(outer), Error) << "decorates something else";
}

}  // namespace
}  // namespace airlock::operators_suite_test
