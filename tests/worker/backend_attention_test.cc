#include <algorithm>
#include <initializer_list>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/worker/backend_reference.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing::backend_attention_test {
namespace {

class BackendAttentionTest : public BackendTest {
 protected:
  /// Rows [begin, begin + count) of a [rows, columns] tensor.
  static OwnedTensor rows_of(const OwnedTensor& x, std::int64_t begin, std::int64_t count) {
    const std::int64_t columns = x.spec().shape[1];
    const std::vector<double> all = x.values();
    return {x.spec().dtype,
            {count, columns},
            {all.begin() + begin * columns, all.begin() + (begin + count) * columns}};
  }

  static Bounded rows_of(const Bounded& x, std::int64_t begin, std::int64_t count) {
    return transposed(columns_of(transposed(x), begin, count));
  }

  /// One FlashAttention call on rows [begin, begin + count) of q, k and v.
  OwnedTensor flash(BackendSequence& sequence, int layer, std::int64_t begin, std::int64_t count) {
    return std::move(run(
        sequence, make_call(Op::kFlashAttention, layer, DType::kF32, begin),
        {rows_of(*q_, begin, count), rows_of(*k_, begin, count), rows_of(*v_, begin, count)})[0]);
  }

  /// Fresh q, k and v of `tokens` rows.
  void make_sequence(std::int64_t tokens, DType dtype = DType::kBF16) {
    q_ = std::make_unique<OwnedTensor>(random(dtype, {tokens, config().q_dim()}));
    k_ = std::make_unique<OwnedTensor>(random(dtype, {tokens, config().kv_dim()}));
    v_ = std::make_unique<OwnedTensor>(random(dtype, {tokens, config().kv_dim()}));
  }

  [[nodiscard]] Bounded expected_flash() const {
    return attention(Bounded(*q_), Bounded(*k_), Bounded(*v_), config().heads, config().kv_heads, 0,
                     activations());
  }

  /// The block's reference on the rows of `x`, which start the sequence.
  [[nodiscard]] Bounded expected_block(const OwnedTensor& x, int layer) const {
    const auto w = [&](Weight weight) { return Bounded(weights_->tensor(weight, layer)); };
    const Bounded in(x, true);
    const Bounded q = rope(product(in, w(Weight::kQ), compute()), config(), 0);
    const Bounded k = rope(product(in, w(Weight::kK), compute()), config(), 0);
    const Bounded v = product(in, w(Weight::kV), compute());
    const Bounded attended =
        attention(q, k, v, config().heads, config().kv_heads, 0, activations());
    return product(activation(attended), w(Weight::kO), compute());
  }

  std::unique_ptr<OwnedTensor> q_, k_, v_;
};

INSTANTIATE_TEST_SUITE_P(Every, BackendAttentionTest, ::testing::ValuesIn(backend_cases()),
                         backend_case_name);

TEST_P(BackendAttentionTest, FusedAttentionIsCausalAtAnyPosition) {
  const std::int64_t context = 19;
  for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{6}, context}) {
    const std::int64_t position = context - tokens;
    for (const DType wire : wire_dtypes()) {
      for (const DType reply : wire_dtypes()) {
        const OwnedTensor q = random(wire, {tokens, config().q_dim()});
        const OwnedTensor k = random(wire, {context, config().q_dim()});
        const OwnedTensor v = random(wire, {context, config().q_dim()});
        const Bounded expected = attention(Bounded(q), Bounded(k), Bounded(v), config().heads,
                                           config().heads, position, activations());
        expect_within(
            run(make_call(Op::kFusedAttention, 1, reply, position), {q, k, v})[0], expected,
            fmt::format("{} tokens, {} to {}", tokens, dtype_name(wire), dtype_name(reply)), 0.5);
      }
    }
  }
}

/// Contexts at which bf16 products of weights and values are those that oneDNN 2.6 gets wrong on
/// AMX (kernels/safe_terms.h), in heads that fill no block of its columns.
TEST_P(BackendAttentionTest, FusedAttentionIsRightWhereContextsLeaveARestOf31) {
  use(wide_heads_config(80), DType::kBF16);
  for (const std::int64_t context : {63, 95}) {
    for (const std::int64_t tokens : {1, 36}) {
      const std::int64_t position = context - tokens;
      const OwnedTensor q = random(DType::kBF16, {tokens, config().q_dim()});
      const OwnedTensor k = random(DType::kBF16, {context, config().q_dim()});
      const OwnedTensor v = random(DType::kBF16, {context, config().q_dim()});
      const Bounded expected = attention(Bounded(q), Bounded(k), Bounded(v), config().heads,
                                         config().heads, position, activations());
      expect_within(run(make_call(Op::kFusedAttention, 0, DType::kF32, position), {q, k, v})[0],
                    expected, fmt::format("{} tokens of {}", tokens, context), 0.5);
    }
  }
}

TEST_P(BackendAttentionTest, FlashAttentionSharesKvHeadsInEveryDtype) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    for (const DType wire : wire_dtypes()) {
      make_sequence(37, wire);
      for (const DType reply : wire_dtypes()) {
        const auto got = run(make_call(Op::kFlashAttention, 0, reply, 0), {*q_, *k_, *v_});
        expect_within(got[0], expected_flash(),
                      fmt::format("{} to {}", dtype_name(wire), dtype_name(reply)), 0.5);
      }
    }
  }
}

TEST_P(BackendAttentionTest, WideHeadsGiveTheSameInOneCallAndInSeveral) {
  for (const std::int64_t head_dim : {64, 128}) {
    use(wide_heads_config(head_dim), DType::kBF16);
    make_sequence(150);
    const Bounded expected = expected_flash();
    for (const std::int64_t chunk : {150, 70, 16, 1}) {
      const auto sequence = backend_->open_sequence();
      for (std::int64_t begin = 0; begin < 150; begin += chunk) {
        const std::int64_t count = std::min<std::int64_t>(chunk, 150 - begin);
        expect_within(flash(*sequence, 0, begin, count), rows_of(expected, begin, count),
                      fmt::format("head_dim {}, {} at {}", head_dim, count, begin), 0.5);
      }
    }
  }
}

TEST_P(BackendAttentionTest, FlashAttentionInAnyChunksEqualsOnePrefill) {
  // Past the cache's first capacity, so that rows survive its growth.
  constexpr std::int64_t kTokens = 150;
  make_sequence(kTokens);
  const Bounded expected = expected_flash();
  for (const std::int64_t chunk : {1, 7, 64, 149}) {
    const auto sequence = backend_->open_sequence();
    for (std::int64_t begin = 0; begin < kTokens; begin += chunk) {
      const std::int64_t count = std::min(chunk, kTokens - begin);
      expect_within(flash(*sequence, 0, begin, count), rows_of(expected, begin, count),
                    fmt::format("chunks of {} at {}", chunk, begin), 0.5);
    }
  }
}

TEST_P(BackendAttentionTest, AnEarlierPositionTruncatesTheCache) {
  make_sequence(20);
  flash(*sequence_, 0, 0, 20);
  const OwnedTensor old_tail = rows_of(*k_, 12, 8);
  make_sequence(20);
  flash(*sequence_, 0, 0, 12);  // another sequence from the start
  flash(*sequence_, 0, 12, 5);
  // Positions 15 and 16 again: what stood there is forgotten, and so is what followed.
  expect_within(flash(*sequence_, 0, 15, 2), rows_of(expected_flash(), 15, 2), "truncated", 0.5);
  EXPECT_THROW(flash(*sequence_, 0, 18, 1), Error);
  expect_within(flash(*sequence_, 0, 17, 3), rows_of(expected_flash(), 17, 3), "continued", 0.5);
}

TEST_P(BackendAttentionTest, APositionPastTheCacheIsALostSession) {
  make_sequence(10);
  flash(*sequence_, 0, 0, 4);
  const auto expect_lost = [&](const auto& body) {
    try {
      body();
      FAIL() << "a call past the cache was answered";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kSessionLost) << error.what();
    }
  };
  expect_lost([&] { flash(*sequence_, 0, 5, 1); });
  expect_lost([&] { flash(*sequence_, 1, 4, 1); });  // another layer holds nothing
  expect_lost([&] { flash(*backend_->open_sequence(), 0, 4, 1); });
  expect_lost([&] {
    run(make_call(Op::kAttentionBlock, 0, DType::kF32, 5), {random(DType::kF32, {1, 45})});
  });
  // What the sequence held is still there.
  expect_within(flash(*sequence_, 0, 4, 6), rows_of(expected_flash(), 4, 6), "afterwards", 0.5);
}

TEST_P(BackendAttentionTest, SequencesAndLayersKeepTheirOwnCaches) {
  const auto other = backend_->open_sequence();
  make_sequence(12);
  const Bounded mine = expected_flash();
  flash(*sequence_, 0, 0, 8);
  const auto keep = [&] { return std::tuple(std::move(q_), std::move(k_), std::move(v_)); };
  auto saved = keep();
  make_sequence(12);
  flash(*other, 0, 0, 8);
  flash(*sequence_, 1, 0, 8);
  expect_within(flash(*other, 0, 8, 4), rows_of(expected_flash(), 8, 4), "the other", 0.5);
  std::tie(q_, k_, v_) = std::move(saved);
  expect_within(flash(*sequence_, 0, 8, 4), rows_of(mine, 8, 4), "mine", 0.5);
}

TEST_P(BackendAttentionTest, AttentionBlockEqualsItsSteps) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    for (const DType wire : wire_dtypes()) {
      const OwnedTensor x = random(wire, {21, config().hidden});
      const Bounded expected = expected_block(x, 0);
      for (const DType reply : wire_dtypes()) {
        expect_within(run(make_call(Op::kAttentionBlock, 0, reply, 0), {x})[0], expected,
                      fmt::format("{} to {}", dtype_name(wire), dtype_name(reply)), slack(0.3));
      }
    }
  }
}

TEST_P(BackendAttentionTest, AttentionBlockDecodesWhereThePrefillEnded) {
  for (const ModelConfig& model : {odd_config(), single_kv_head_config()}) {
    use(model, DType::kBF16);
    const OwnedTensor x = random(DType::kBF16, {80, config().hidden});
    const Bounded expected = expected_block(x, 0);
    run(make_call(Op::kAttentionBlock, 0, DType::kF32, 0), {rows_of(x, 0, 60)});
    for (std::int64_t position = 60; position < 80; ++position) {
      expect_within(run(make_call(Op::kAttentionBlock, 0, DType::kF32, position),
                        {rows_of(x, position, 1)})[0],
                    rows_of(expected, position, 1), fmt::format("position {}", position),
                    slack(0.3));
    }
  }
}

TEST_P(BackendAttentionTest, KvBytesAreWhatTheNextCallPredicts) {
  const ModelConfig& c = config();
  const auto element = static_cast<std::int64_t>(dtype_size(activations()));
  EXPECT_EQ(sequence_->kv_bytes(), 0);
  make_sequence(200);
  std::int64_t position = 0;
  for (const std::int64_t tokens : {1, 62, 1, 1, 100, 35}) {
    const std::int64_t predicted = sequence_->kv_bytes_with(0, position + tokens);
    flash(*sequence_, 0, position, tokens);
    position += tokens;
    EXPECT_EQ(sequence_->kv_bytes(), predicted) << position;
    const std::int64_t row = 2 * c.kv_dim() * element;
    EXPECT_GE(sequence_->kv_bytes(), position * row);
    EXPECT_LE(sequence_->kv_bytes(), std::max<std::int64_t>(2 * position, 64) * row);
  }
  EXPECT_EQ(sequence_->kv_bytes_with(0, 1), sequence_->kv_bytes());
}

/// Calls of many sequences: fresh ones, others that go on, a rewound one, of one row and of
/// several.
class BackendBatchTest : public BackendAttentionTest {
 protected:
  struct Member {
    std::int64_t before;    ///< rows its cache holds
    std::int64_t position;  ///< of its rows in the call
    std::int64_t tokens;
  };
  static constexpr Member kMembers[] = {{0, 0, 1},   {70, 70, 1}, {0, 0, 9}, {20, 20, 5},
                                        {40, 30, 3}, {63, 63, 2}, {5, 5, 1}, {150, 150, 1}};
  static constexpr std::int64_t kRows = 23;

  /// A sequence of every member.
  std::vector<std::unique_ptr<BackendSequence>> open_all() {
    std::vector<std::unique_ptr<BackendSequence>> all;
    for (std::size_t i = 0; i < std::size(kMembers); ++i) all.push_back(backend_->open_sequence());
    return all;
  }

  /// `call` of all members.
  OwnedTensor run_all(const std::vector<std::unique_ptr<BackendSequence>>& sequences, Call call,
                      const std::vector<ConstTensor>& inputs) {
    std::vector<BackendSequence*> all;
    call.ranges = {};
    for (const Member& member : kMembers) {
      all.push_back(sequences[all.size()].get());
      call.ranges.push_back({static_cast<std::uint32_t>(100 + all.size()),
                             static_cast<std::int32_t>(member.tokens), member.position});
    }
    return std::move(run(all, call, inputs)[0]);
  }

  /// Rows [begin, begin + count), bit for bit.
  static OwnedTensor part_of(const OwnedTensor& x, std::int64_t begin, std::int64_t count) {
    const TensorSpec& spec = x.spec();
    OwnedTensor part(TensorSpec{spec.dtype, {count, spec.shape[1]}});
    const std::int64_t row = spec.shape[1] * static_cast<std::int64_t>(dtype_size(spec.dtype));
    const std::byte* const from = x.tensor().data;
    std::copy_n(from + begin * row, count * row, part.tensor().data);
    if (spec.dtype == DType::kI8) {  // their scales
      std::copy_n(from + spec.shape[0] * row + begin * 4, count * 4,
                  part.tensor().data + count * row);
    }
    return part;
  }

  static OwnedTensor joined(std::initializer_list<const OwnedTensor*> parts) {
    std::vector<double> values;
    for (const OwnedTensor* part : parts) {
      const std::vector<double> own = part->values();
      values.insert(values.end(), own.begin(), own.end());
    }
    const TensorSpec& spec = (*parts.begin())->spec();
    const std::int64_t columns = spec.shape[1];
    return {spec.dtype, {static_cast<std::int64_t>(values.size()) / columns, columns}, values};
  }
};

INSTANTIATE_TEST_SUITE_P(Every, BackendBatchTest, ::testing::ValuesIn(backend_cases()),
                         backend_case_name);

TEST_P(BackendBatchTest, FlashAttentionOfManySequencesGivesEachTheSameAsAlone) {
  for (const ModelConfig& model : {odd_config(), wide_heads_config(64)}) {
    use(model, DType::kBF16);
    const auto rows = [&](DType wire, std::int64_t count) {
      std::vector<OwnedTensor> qkv;
      qkv.push_back(random(wire, {count, config().q_dim()}));
      for (int i = 0; i < 2; ++i) qkv.push_back(random(wire, {count, config().kv_dim()}));
      return qkv;
    };
    const auto views = [](const std::vector<OwnedTensor>& tensors) {
      return std::vector<ConstTensor>(tensors.begin(), tensors.end());
    };
    for (const DType wire : wire_dtypes()) {
      const auto together = open_all();
      const auto alone = open_all();
      for (std::size_t i = 0; i < alone.size(); ++i) {
        if (kMembers[i].before == 0) continue;
        const auto prefix = rows(wire, kMembers[i].before);
        for (const auto* sequences : {&together, &alone}) {
          run(*(*sequences)[i], make_call(Op::kFlashAttention, 0, DType::kF32), views(prefix));
        }
      }
      const auto qkv = rows(wire, kRows);
      const auto got =
          run_all(together, make_call(Op::kFlashAttention, 0, DType::kF32), views(qkv)).values();
      std::int64_t first = 0;
      for (std::size_t i = 0; i < alone.size(); ++i) {
        const Member& member = kMembers[i];
        std::vector<OwnedTensor> own;
        for (const OwnedTensor& x : qkv) own.push_back(part_of(x, first, member.tokens));
        const Call call = make_call(Op::kFlashAttention, 0, DType::kF32, member.position);
        const auto expected = run(*alone[i], call, views(own))[0].values();
        const auto from = got.begin() + first * config().q_dim();
        EXPECT_EQ(std::vector<double>(from, from + member.tokens * config().q_dim()), expected)
            << dtype_name(wire) << ", member " << i;
        first += member.tokens;
      }
    }
  }
}

TEST_P(BackendBatchTest, AttentionBlockOfManySequencesEqualsItsStepsOnEach) {
  for (const ModelConfig& model : {odd_config(), wide_heads_config(64)}) {
    use(model, DType::kBF16);
    for (const DType wire : {DType::kF32, DType::kBF16}) {
      const auto sequences = open_all();
      const OwnedTensor x = random(wire, {kRows, config().hidden});
      std::vector<Bounded> expected;
      std::int64_t first = 0;
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        const Member& member = kMembers[i];
        const OwnedTensor own = part_of(x, first, member.tokens);
        const OwnedTensor prefix =
            random(wire, {std::max<std::int64_t>(member.before, 1), config().hidden});
        const OwnedTensor kept = part_of(prefix, 0, member.position);
        if (member.before > 0) {
          run(*sequences[i], make_call(Op::kAttentionBlock, 0, DType::kF32), {prefix});
        }
        expected.push_back(
            rows_of(expected_block(joined({&kept, &own}), 0), member.position, member.tokens));
        first += member.tokens;
      }
      const OwnedTensor got =
          run_all(sequences, make_call(Op::kAttentionBlock, 0, DType::kF32), {x});
      first = 0;
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        expect_within(part_of(got, first, kMembers[i].tokens), expected[i],
                      fmt::format("{}, member {}", dtype_name(wire), i), slack(0.3));
        first += kMembers[i].tokens;
      }
    }
  }
}

TEST_P(BackendBatchTest, AttentionBlockOfASequenceDoesNotDependOnTheOthers) {
  const OwnedTensor x = random(DType::kBF16, {21, config().hidden});
  const auto others = [&](double deviation) {
    const OwnedTensor before = random(DType::kBF16, {4, config().hidden}, deviation);
    const OwnedTensor after = random(DType::kBF16, {1, config().hidden}, deviation);
    return joined({&before, &x, &after});
  };
  std::vector<std::vector<double>> answers;
  for (const double deviation : {1.0, 100.0}) {
    std::unique_ptr<BackendSequence> own[] = {backend_->open_sequence(), backend_->open_sequence(),
                                              backend_->open_sequence()};
    BackendSequence* const all[] = {own[0].get(), own[1].get(), own[2].get()};
    Call call = make_call(Op::kAttentionBlock, 0, DType::kF32);
    call.ranges = {{7, 4, 0}, {9, 21, 0}, {8, 1, 0}};
    const OwnedTensor rows = others(deviation);
    const OwnedTensor got = std::move(run(all, call, {rows})[0]);
    expect_within(rows_of(got, 4, 21), expected_block(x, 0), "among others", slack(0.3));
    answers.push_back(rows_of(got, 4, 21).values());
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_P(BackendBatchTest, ARangePastItsCacheLeavesEveryCacheAsItWas) {
  make_sequence(12);
  const Bounded expected = expected_flash();
  const auto other = backend_->open_sequence();
  flash(*sequence_, 0, 0, 8);
  flash(*other, 0, 0, 3);
  BackendSequence* const both[] = {sequence_.get(), other.get()};
  const auto call_at = [&](std::int64_t position, std::int64_t others_position) {
    Call call = make_call(Op::kFlashAttention, 0, DType::kF32);
    call.ranges = {{0, 2, position}, {1, 2, others_position}};
    const auto rows = [&](const OwnedTensor& x) {
      const OwnedTensor own = part_of(x, position, 2);
      const OwnedTensor others = part_of(x, others_position, 2);
      return joined({&own, &others});
    };
    const OwnedTensor q = rows(*q_);
    const OwnedTensor k = rows(*k_);
    const OwnedTensor v = rows(*v_);
    return std::move(run(both, call, {q, k, v})[0]);
  };
  try {
    call_at(4, 5);
    ADD_FAILURE() << "a call past a cache was answered";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kSessionLost) << error.what();
  }
  const OwnedTensor got = call_at(8, 3);  // was not truncated to 4 rows
  expect_within(rows_of(got, 0, 2), rows_of(expected, 8, 2), "the first", 0.5);
  expect_within(rows_of(got, 2, 2), rows_of(expected, 3, 2), "the second", 0.5);
}

}  // namespace
}  // namespace airlock::testing::backend_attention_test
