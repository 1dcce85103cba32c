// Many sequences side by side against each alone.
#include "airlock/engine/engine.h"

#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "airlock/plan/predict.h"

#include "tests/engine/golden.h"
#include "tests/support/plans.h"
#include "tests/support/split.h"

namespace airlock::engine_test {
namespace {

constexpr std::array kCheckpoints = {"llama3-gqa", "one-kv-head", "odd-sharded"};

std::vector<std::int64_t> random_ids(std::mt19937_64& random, std::int64_t vocab, std::size_t n) {
  std::vector<std::int64_t> ids(n);
  for (std::int64_t& id : ids) {
    id = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(vocab));
  }
  return ids;
}

/// One sequence of a mix: tokens, and how far it has been fed.
struct Member {
  std::vector<std::int64_t> ids;
  std::size_t fed = 0;
  std::optional<Sequence> sequence;
  std::map<std::size_t, std::vector<float>> logits;  ///< by tokens fed before and with them
};

class EngineTest : public ::testing::TestWithParam<const char*> {
 protected:
  /// Random mixes: sequences begin and end at different times, and feed one token or some.
  void run_mix(const Plan& plan, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const std::int64_t vocab = model_.config().vocab;
    testing::TestSession session(worker_, model_.config());
    Engine engine(model_, plan, session.client());
    std::vector<Member> members(5);
    for (Member& member : members) member.ids = random_ids(random, vocab, 2 + random() % 30);
    std::vector<Batch> batches;
    for (;;) {
      std::vector<Feed> feeds;
      std::vector<Member*> fed;
      Batch batch;
      for (Member& member : members) {
        const std::size_t left = member.ids.size() - member.fed;
        if (left == 0 || random() % 4 == 0) continue;
        if (!member.sequence) member.sequence.emplace(engine.open());
        const std::size_t n = random() % 2 == 0 ? 1 : 1 + random() % left;
        const std::int64_t rows = random() % 3 == 0 ? 0 : 1;
        feeds.push_back({&*member.sequence, std::span(member.ids).subspan(member.fed, n), rows});
        batch.add({member.sequence->position(), static_cast<std::int64_t>(n), rows,
                   member.sequence->id()});
        fed.push_back(&member);
      }
      if (feeds.empty()) {
        if (std::all_of(members.begin(), members.end(),
                        [](const Member& m) { return m.fed == m.ids.size(); })) {
          break;
        }
        continue;
      }
      batches.push_back(batch);
      auto logits = engine.run(feeds);
      for (std::size_t i = 0; i < feeds.size(); ++i) {
        Member& member = *fed[i];
        member.fed += feeds[i].ids.size();
        ASSERT_EQ(member.sequence->position(), static_cast<std::int64_t>(member.fed));
        if (feeds[i].logit_rows > 0) {
          const auto row = logits.first(static_cast<std::size_t>(vocab));
          member.logits[member.fed].assign(row.begin(), row.end());
          logits = logits.subspan(row.size());
        }
        if (member.fed == member.ids.size()) member.sequence.reset();
      }
      ASSERT_TRUE(logits.empty());
    }
    Traffic measured;
    for (const LedgerEntry& entry : session.ledger.entries()) {
      measured.add(entry.op, entry.sent_bytes, entry.received_bytes);
    }
    EXPECT_EQ(measured, predict_traffic(model_.config(), plan, batches)) << plan.name;
    for (const Member& member : members) expect_as_alone(plan, member);
  }

  /// Token by token and alone, in a session of its own.
  void expect_as_alone(const Plan& plan, const Member& member) {
    testing::TestSession session(worker_, model_.config());
    Engine engine(model_, plan, session.client());
    Sequence sequence = engine.open();
    const double bound =
        testing::logit_bound(*checkpoint_, static_cast<std::int64_t>(member.ids.size()));
    for (std::size_t i = 0; i < member.ids.size(); ++i) {
      const Feed feed{&sequence, std::span(member.ids).subspan(i, 1), 1};
      const auto alone = engine.run({&feed, 1});
      const auto found = member.logits.find(i + 1);
      if (found == member.logits.end()) continue;
      double worst = 0;
      for (std::size_t at = 0; at < alone.size(); ++at) {
        worst = std::max(worst, std::abs(static_cast<double>(alone[at]) - found->second[at]));
      }
      ASSERT_LE(worst, bound) << plan.name << ", after " << i + 1 << " tokens";
    }
  }

  std::shared_ptr<const Checkpoint> checkpoint_ =
      Checkpoint::open(testing::checkpoint_path(GetParam()));
  RunnerModel model_{checkpoint_};
  testing::TestWorker worker_{testing::checkpoint_path(GetParam()), DType::kF32};
};

INSTANTIATE_TEST_SUITE_P(Checkpoints, EngineTest, ::testing::ValuesIn(kCheckpoints),
                         [](const auto& at) {
                           std::string name = at.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(EngineTest, ABatchGivesEachSequenceTheLogitsItHasAlone) {
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = DType::kF32;
    for (const Side side : {Side::kWorker, Side::kRunner}) {
      plan.embedding = side;
      plan.lm_head = side;
      for (std::uint64_t seed = 1; seed <= 3; ++seed) run_mix(plan, seed);
    }
  }
}

TEST_P(EngineTest, CompanionsOfTheSameShapesChangeNoBit) {
  const std::int64_t vocab = model_.config().vocab;
  for (const Plan& plan : testing::plain_plans()) {
    std::vector<std::vector<float>> results;
    for (const std::uint64_t seed : {11, 22, 33}) {
      testing::TestSession session(worker_, model_.config());
      Engine engine(model_, plan, session.client());
      std::mt19937_64 random(seed);
      std::vector<Sequence> sequences;
      for (int i = 0; i < 4; ++i) sequences.push_back(engine.open());
      std::vector<float> kept;
      for (int step = 0; step < 6; ++step) {
        std::mt19937_64 same(static_cast<std::uint64_t>(step));
        std::vector<std::vector<std::int64_t>> ids;
        std::vector<Feed> feeds;
        for (std::size_t i = 0; i < sequences.size(); ++i) {
          ids.push_back(random_ids(i == 2 ? same : random, vocab, step == 0 ? 3 + i : 1));
        }
        for (std::size_t i = 0; i < sequences.size(); ++i) {
          feeds.push_back({&sequences[i], ids[i], 1});
        }
        const auto row = engine.run(feeds).subspan(static_cast<std::size_t>(2 * vocab),
                                                   static_cast<std::size_t>(vocab));
        kept.insert(kept.end(), row.begin(), row.end());
      }
      results.push_back(std::move(kept));
    }
    EXPECT_EQ(results[0], results[1]) << plan.name;
    EXPECT_EQ(results[0], results[2]) << plan.name;
  }
}

TEST_P(EngineTest, RefusesWhatNoBatchCanHold) {
  testing::TestSession session(worker_, model_.config());
  EngineOptions options;
  options.max_sequences = 2;
  Engine engine(model_, find_plan("runner-attention"), session.client(), options);
  Sequence first = engine.open();
  {
    Sequence second = engine.open();
    EXPECT_THROW((void)engine.open(), Error);
  }
  Sequence second = engine.open();
  const std::vector<std::int64_t> ids = {1, 2};
  const std::vector<Feed> twice = {{&first, ids, 1}, {&first, ids, 1}};
  EXPECT_THROW((void)engine.run(twice), Error);
  EXPECT_THROW((void)engine.run({}), Error);
  const std::vector<std::int64_t> unknown = {model_.config().vocab};
  const std::vector<Feed> outside = {{&first, ids, 1}, {&second, unknown, 1}};
  EXPECT_THROW((void)engine.run(outside), Error);
  EXPECT_EQ(first.position(), 0) << "no sequence of a refused batch moves";
  EXPECT_THROW(first.rewind(1), Error);
}

TEST_P(EngineTest, EnginesOfOneModelShareItsLmHead) {
  Plan plan = find_plan("runner-attention");
  plan.lm_head = Side::kRunner;
  testing::TestSession session(worker_, model_.config());
  const Engine a(model_, plan, session.client());
  const auto matrix = model_.lm_head(DType::kBF16);
  const long before = matrix.use_count();
  const Engine b(model_, plan, session.client());
  EXPECT_EQ(matrix.use_count(), before + 1);
}

}  // namespace
}  // namespace airlock::engine_test
