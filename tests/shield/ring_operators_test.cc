#include "airlock/shield/ring_operators.h"

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/threads.h"
#include "airlock/engine/engine.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/math/field.h"
#include "airlock/runner/executor.h"
#include "airlock/shield/prepared.h"

#include "tests/engine/golden.h"
#include "tests/shield/watched_worker.h"
#include "tests/support/plans.h"
#include "tests/support/shielded.h"
#include "tests/support/split.h"

namespace airlock::ring_operators_test {
namespace {

using testing::NoiseOfRows;
using testing::TestShield;

class RingOperatorsTest : public ::testing::TestWithParam<const char*> {
 protected:
  /// Logits of a prompt and 6 greedy steps.
  std::vector<float> logits(const Plan& plan, const Endpoint& endpoint, std::int64_t prompt = 21) {
    Executor executor(model_, plan, endpoint);
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < prompt; ++i) ids.push_back((i * 37 + 5) % model_.config().vocab);
    std::vector<float> all;
    std::span<const float> row = executor.run(make_passes(plan, prompt, 0), ids);
    for (int step = 0; step < 6; ++step) {
      all.insert(all.end(), row.begin(), row.end());
      const std::int64_t next = std::max_element(row.begin(), row.end()) - row.begin();
      row = executor.run(Pass{prompt + step, 1, 1}, {&next, 1});
    }
    return all;
  }

  Plan plan_of(const char* name, PadKind pads = PadKind::kLattice) {
    Plan plan = find_plan(name);
    plan.pads = pads;
    return plan;
  }

  std::shared_ptr<const Checkpoint> checkpoint_ =
      Checkpoint::open(testing::checkpoint_path(GetParam()));
  RunnerModel model_{checkpoint_};
  testing::TestWorker worker_{testing::checkpoint_path(GetParam()), DType::kF32};
  NoiseOfRows noise_;
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, RingOperatorsTest,
                         ::testing::Values("llama3-gqa", "odd-sharded", "bf16"),
                         [](const auto& at) {
                           std::string name = at.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(RingOperatorsTest, EveryKindOfPadsGivesTheSameBits) {
  std::vector<float> expected;
  for (const PadKind kind : {PadKind::kLocal, PadKind::kLattice, PadKind::kDealer}) {
    for (const std::int64_t memory : {std::int64_t{0}, std::int64_t{16} << 20}) {
      testing::TestSession session(worker_, model_.config());
      testing::TestSession dealer(worker_, model_.config());
      PadOptions options = testing::test_pads(worker_.fingerprint());
      options.memory = memory;
      const Plan plan = plan_of("sealed", kind);
      TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), &noise_,
                        &dealer.client(), options);
      const auto found = logits(plan, shield.operators());
      if (expected.empty()) expected = found;
      EXPECT_EQ(found, expected) << pad_kind_name(kind) << ", " << memory << " bytes of pads";
    }
  }
}

TEST_P(RingOperatorsTest, ASecondCheckChangesNoBit) {
  testing::TestSession session(worker_, model_.config());
  std::vector<float> expected;
  for (const int soundness : {31, 62}) {
    Plan plan = plan_of("sealed", PadKind::kLocal);
    plan.soundness = soundness;
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), &noise_);
    const auto found = logits(plan, shield.operators());
    if (expected.empty()) expected = found;
    EXPECT_EQ(found, expected) << soundness;
  }
}

TEST_P(RingOperatorsTest, ThreadsChangeNoBit) {
  std::vector<float> expected;
  const int before = threads();
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    testing::TestSession session(worker_, model_.config());
    const Plan plan = plan_of("sealed");
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), &noise_);
    const auto found = logits(plan, shield.operators());
    if (expected.empty()) expected = found;
    EXPECT_EQ(found, expected) << count << " threads";
  }
  set_threads(before);
}

TEST_P(RingOperatorsTest, LanesChangeNoBit) {
  std::vector<float> expected;
  for (const int lanes : {1, 3}) {
    ClientOptions options;
    options.lanes = lanes;
    testing::TestSession session(worker_, model_.config(), Transport::kUnix, options);
    Plan plan = plan_of("sealed");
    plan.chunk = 8;
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), &noise_);
    const auto found = logits(plan, shield.operators());
    if (expected.empty()) expected = found;
    EXPECT_EQ(found, expected) << lanes << " lanes";
  }
}

TEST_P(RingOperatorsTest, CompanionsChangeNoBit) {
  const std::int64_t vocab = model_.config().vocab;
  const Plan plan = plan_of("sealed");
  std::vector<std::vector<float>> results;
  for (const std::size_t others : {0U, 1U, 4U}) {
    testing::TestSession session(worker_, model_.config());
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), &noise_);
    Engine engine(model_, plan, shield.operators());
    std::vector<Sequence> sequences;
    for (std::size_t i = 0; i <= others; ++i) sequences.push_back(engine.open());
    std::vector<float> kept;
    for (std::int64_t step = 0; step < 5; ++step) {
      std::vector<std::vector<std::int64_t>> ids;
      std::vector<Feed> feeds;
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        ids.push_back({(7 + step * 3 + static_cast<std::int64_t>(i) * 5) % vocab});
        if (step == 0) ids.back().push_back(3);
      }
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        feeds.push_back({&sequences[i], ids[i], 1});
      }
      const auto row = engine.run(feeds).first(static_cast<std::size_t>(vocab));
      kept.insert(kept.end(), row.begin(), row.end());
    }
    results.push_back(std::move(kept));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

/// One product of rows that differ in size by 10^6 within a row, against f64 on the int8 weights.
TEST_P(RingOperatorsTest, ProductsAreAsExactAsTheirRoundingAndNoise) {
  const ModelConfig& config = model_.config();
  constexpr std::int64_t kRows = 5;
  std::vector<float> x(static_cast<std::size_t>(kRows * config.hidden));
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  x[3] = 1e6F;
  for (std::int64_t i = 0; i < config.hidden; ++i) {
    x[static_cast<std::size_t>(2 * config.hidden + i)] = 0;
    x[static_cast<std::size_t>(3 * config.hidden + i)] = 1e-41F;
  }
  for (const Plan& plan : testing::ring_plans()) {
    testing::TestSession session(worker_, config);
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client());
    Call call;
    call.op = Op::kBatchLinear;
    call.layer = 1;
    call.weights = {Weight::kGate, Weight::kUp};
    call.inputs = {{DType::kF32, {kRows, config.hidden}}};
    std::vector<float> gate(static_cast<std::size_t>(kRows * config.ffn));
    std::vector<float> up(gate.size());
    const ConstTensor in{call.inputs[0], reinterpret_cast<const std::byte*>(x.data())};
    const TensorSpec spec{DType::kF32, {kRows, config.ffn}};
    const Tensor outs[] = {{spec, reinterpret_cast<std::byte*>(gate.data())},
                           {spec, reinterpret_cast<std::byte*>(up.data())}};
    shield.operators().execute(call, {&in, 1}, outs);

    const auto check = [&](Weight name, const std::vector<float>& found) {
      std::vector<std::int8_t> q(static_cast<std::size_t>(config.ffn * config.hidden));
      std::vector<float> scales(static_cast<std::size_t>(config.ffn));
      quantize_weight_rows(checkpoint_->load(name, 1).view(), 0, config.ffn, q, scales);
      const double room = kFieldPrime / 2.0 /
                          std::max(shield.model().product(1, Weight::kGate).max_norm,
                                   shield.model().product(1, Weight::kUp).max_norm);
      for (std::int64_t row = 0; row < kRows; ++row) {
        double norm = 0;
        double largest = 0;
        for (std::int64_t i = 0; i < config.hidden; ++i) {
          const double value = x[static_cast<std::size_t>(row * config.hidden + i)];
          norm += value * value;
          largest = std::max(largest, std::abs(value));
        }
        norm = std::sqrt(norm);
        // The scale is at least so: rounding and noise leave most of the room.
        const double least_scale =
            std::min((room - 10 * std::sqrt(static_cast<double>(config.hidden))) * 0.9 / norm,
                     plan.mask == Mask::kNone ? 32766 / largest : 1e300);
        for (std::int64_t m = 0; m < config.ffn; ++m) {
          double exact = 0;
          double weights = 0;
          for (std::int64_t i = 0; i < config.hidden; ++i) {
            const double w = q[static_cast<std::size_t>(m * config.hidden + i)];
            exact += w * x[static_cast<std::size_t>(row * config.hidden + i)];
            weights += std::abs(w);
          }
          const double scale = scales[static_cast<std::size_t>(m)];
          const double noise = plan.mask == Mask::kPads ? 8.5 : 0.5;
          const double reply = plan.verify ? 0 : 16384;
          double bound = (noise * weights + reply) * scale / least_scale;
          bound += std::abs(exact) * scale * 1e-5 + 1e-36;
          if (norm == 0) bound = 0;
          ASSERT_NEAR(found[static_cast<std::size_t>(row * config.ffn + m)], exact * scale, bound)
              << plan.name << ", " << weight_name(name) << ", row " << row << ", output " << m;
        }
      }
    };
    check(Weight::kGate, gate);
    check(Weight::kUp, up);
  }
}

TEST_P(RingOperatorsTest, RefusesRowsThatAreNotFinite) {
  const ModelConfig& config = model_.config();
  for (const Plan& plan : testing::ring_plans()) {
    testing::TestSession session(worker_, config);
    testing::RecordingOperators recorded(session.client());
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan,
                      Endpoint(session.client()).through(recorded));
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      std::vector<float> x(static_cast<std::size_t>(3 * config.q_dim()), 1.0F);
      x[static_cast<std::size_t>(2 * config.q_dim() + 1)] = bad;
      Call call;
      call.op = Op::kBatchLinear;
      call.layer = 0;
      call.weights = {Weight::kO};
      call.inputs = {{DType::kF32, {3, config.q_dim()}}};
      std::vector<float> out(static_cast<std::size_t>(3 * config.hidden));
      const ConstTensor in{call.inputs[0], reinterpret_cast<const std::byte*>(x.data())};
      const Tensor to{{DType::kF32, {3, config.hidden}}, reinterpret_cast<std::byte*>(out.data())};
      try {
        shield.operators().execute(call, {&in, 1}, {&to, 1});
        ADD_FAILURE() << plan.name << " took " << bad;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
        EXPECT_NE(std::string(error.what()).find("row 2"), std::string::npos) << error.what();
      }
      EXPECT_TRUE(recorded.sent.empty());
    }
  }
}

/// Every call of a prefill and of a decode step, with every lie.
TEST_P(RingOperatorsTest, NoLiePasses) {
  using Reply = std::vector<std::span<std::uint32_t>>;
  using Earlier = std::vector<std::uint32_t>;
  const auto add = [](std::uint32_t value) {
    return [value](Reply& reply, const Earlier&) {
      auto& last = reply.back();
      last[last.size() / 2] = field_add(last[last.size() / 2], value);
      return true;
    };
  };
  const auto swap_rows = [](Reply& reply, const Earlier&) {
    auto& first = reply.front();
    std::swap_ranges(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(first.size() / 2),
                     first.begin() + static_cast<std::ptrdiff_t>((first.size() + 1) / 2));
  };
  const auto replay = [&](Reply& reply, const Earlier& earlier) {
    if (earlier.empty()) {
      add(7)(reply, earlier);
    } else {
      std::copy(earlier.begin(), earlier.end(), reply.front().begin());
    }
  };
  const std::vector<testing::LyingOperators::Lie> lies = {
      add(1), add(kFieldPrime - 1), add(std::uint32_t{1} << 30), swap_rows, replay};
  const auto calls = static_cast<int>(4 * model_.config().layers + 1);
  for (const char* name : {"sealed", "verified"}) {
    for (std::size_t lie = 0; lie < lies.size(); ++lie) {
      for (int target = 0; target < 2 * calls;
           target += GetParam() == std::string("bf16") ? 1 : 3) {
        testing::TestSession session(worker_, model_.config());
        testing::LyingOperators liar(session.client(), target, lies[lie]);
        const Plan plan = plan_of(name, PadKind::kLocal);
        TestShield shield(*checkpoint_, worker_.fingerprint(), plan,
                          Endpoint(session.client()).through(liar));
        try {
          (void)logits(plan, shield.operators(), 4);
          ADD_FAILURE() << name << ": lie " << lie << " at call " << target << " passed";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kCheckFailed) << error.what();
          EXPECT_NE(std::string(error.what()).find("RingLinear("), std::string::npos);
        }
        EXPECT_TRUE(liar.told);
        EXPECT_EQ(liar.calls, target + 1) << "calls went on after a lie";
      }
    }
  }
}

/// A dealer that changes one element of the `target`-th product of pads.
class LyingDealer final : public ForwardingOperators {
 public:
  LyingDealer(Operators& next, int target) : ForwardingOperators(next), target_(target) {}
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    if (call.op == Op::kPadProduct && calls_++ == target_) word_ = outputs[0].data;
    return ForwardingOperators::submit(call, inputs, outputs);
  }
  void collect(CallTicket ticket) override {
    ForwardingOperators::collect(ticket);
    if (word_ == nullptr) return;
    auto* const word = reinterpret_cast<std::uint32_t*>(word_);
    *word = field_add(*word, 1);
    word_ = nullptr;
  }

 private:
  int target_;
  int calls_ = 0;
  std::byte* word_ = nullptr;
};

TEST_P(RingOperatorsTest, ADealersLieIsCaughtWhereItsPadIsUsed) {
  const auto groups = static_cast<int>(4 * model_.config().layers + 1);
  for (int target = 0; target < groups; ++target) {
    testing::TestSession session(worker_, model_.config());
    testing::TestSession second(worker_, model_.config());
    LyingDealer dealer(second.client(), target);
    const Plan plan = plan_of("sealed", PadKind::kDealer);
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client(), nullptr,
                      &dealer);
    try {
      (void)logits(plan, shield.operators());
      ADD_FAILURE() << "a lie at product " << target << " passed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCheckFailed) << error.what();
    }
  }
}

TEST_P(RingOperatorsTest, UsesARowOfPadsForEachRowThatCrosses) {
  constexpr std::int64_t kPrompt = 21;
  for (const PadKind kind : {PadKind::kLattice, PadKind::kLocal}) {
    testing::TestSession session(worker_, model_.config());
    const Plan plan = plan_of("sealed", kind);
    TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client());
    (void)logits(plan, shield.operators(), kPrompt);
    // 6 steps follow the prompt, each with logits.
    const std::int64_t rows = 4 * model_.config().layers * (kPrompt + 6) + 7;
    EXPECT_EQ(shield.pads()->stats().rows_used, rows) << pad_kind_name(kind);
    EXPECT_EQ(predict_pad_rows(model_.config(), plan, kPrompt, 7), rows);
    EXPECT_GE(shield.pads()->stats().rows_made, rows);
  }
}

TEST_P(RingOperatorsTest, GoesOnWithFreshKeysAfterALie) {
  testing::TestSession session(worker_, model_.config());
  testing::LyingOperators liar(session.client(), 2, [](auto& reply, const auto&) {
    reply[0][0] = field_add(reply[0][0], 1);
  });
  const Plan plan = plan_of("sealed");
  TestShield shield(*checkpoint_, worker_.fingerprint(), plan,
                    Endpoint(session.client()).through(liar), &noise_);
  const auto keys_now = [&] {
    const RingProduct& product = shield.model().product(0, Weight::kQ);
    const auto* const keys = product.keys.as<std::uint32_t>();
    return std::vector<std::uint32_t>(keys, keys + product.out);
  };
  const std::vector<std::uint32_t> keys = keys_now();
  EXPECT_THROW((void)logits(plan, shield.operators()), Error);
  const auto after = logits(plan, shield.operators());
  EXPECT_NE(keys_now(), keys);

  testing::TestSession honest(worker_, model_.config());
  TestShield other(*checkpoint_, worker_.fingerprint(), plan, honest.client(), &noise_);
  EXPECT_EQ(after, logits(plan, other.operators()));
}

/// Of two shields of one model, as two plans or two sessions of one runner are.
TEST_P(RingOperatorsTest, ALieRenewsTheKeysOfAllThatShareAModelAndNoCallUnderWayFails) {
  const ModelConfig& config = model_.config();
  const Plan plan = plan_of("verified");
  RingModel model(*checkpoint_, {.checks = 1});
  testing::TestSession honest_session(worker_, config);
  testing::TestSession lying_session(worker_, config);
  testing::LyingOperators liar(lying_session.client(), 0, [](auto& reply, const auto&) {
    reply[0][0] = field_add(reply[0][0], 1);
  });
  RingOperators honest(honest_session.client(), model, plan, nullptr);
  RingOperators lied_to(Endpoint(lying_session.client()).through(liar), model, plan, nullptr);

  Call call;
  call.op = Op::kBatchLinear;
  call.layer = 0;
  call.weights = {Weight::kO};
  call.inputs = {{DType::kF32, {3, config.q_dim()}}};
  const std::vector<float> x(static_cast<std::size_t>(3 * config.q_dim()), 1.0F);
  const ConstTensor in{call.inputs[0], reinterpret_cast<const std::byte*>(x.data())};
  struct Out {
    explicit Out(const ModelConfig& config)
        : values(static_cast<std::size_t>(3 * config.hidden)),
          tensor{{DType::kF32, {3, config.hidden}}, reinterpret_cast<std::byte*>(values.data())} {}
    std::vector<float> values;
    Tensor tensor;
  };
  const auto key_now = [&] { return model.product(0, Weight::kO).keys.as<std::uint32_t>()[0]; };
  Out early(config), late(config), again(config), fresh(config);

  const std::uint32_t before = key_now();
  const CallTicket under_way = honest.submit(call, {&in, 1}, {&early.tensor, 1});
  EXPECT_THROW(lied_to.execute(call, {&in, 1}, {&late.tensor, 1}), Error);
  lied_to.abandon();
  lied_to.execute(call, {&in, 1}, {&again.tensor, 1});
  const std::uint32_t after = key_now();
  EXPECT_NE(after, before);
  honest.collect(under_way);
  EXPECT_EQ(early.values, again.values);
  honest.execute(call, {&in, 1}, {&fresh.tensor, 1});
  EXPECT_EQ(fresh.values, again.values);
  EXPECT_EQ(key_now(), after) << "renewed twice for one lie";

  model.fail_keys();
  RingOperators later(honest_session.client(), model, plan, nullptr);
  later.execute(call, {&in, 1}, {&fresh.tensor, 1});
  EXPECT_NE(key_now(), after);
}

TEST_P(RingOperatorsTest, AnExecutorWithoutAShieldIsRefused) {
  testing::TestSession session(worker_, model_.config());
  EXPECT_THROW(Executor(model_, plan_of("sealed"), session.client()), Error);
  const Plan plan = plan_of("sealed");
  TestShield shield(*checkpoint_, worker_.fingerprint(), plan, session.client());
  for (const char* other : {"private", "verified", "runner-attention"}) {
    EXPECT_THROW(Executor(model_, plan_of(other), shield.operators()), Error) << other;
  }
}

}  // namespace
}  // namespace airlock::ring_operators_test
