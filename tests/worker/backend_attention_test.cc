#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/worker/backend_reference.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing {
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
  OwnedTensor flash(BackendSession& session, int layer, std::int64_t begin, std::int64_t count) {
    return std::move(run(
        session, make_call(Op::kFlashAttention, layer, DType::kF32, begin),
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
      const auto session = backend_->open_session();
      for (std::int64_t begin = 0; begin < 150; begin += chunk) {
        const std::int64_t count = std::min<std::int64_t>(chunk, 150 - begin);
        expect_within(flash(*session, 0, begin, count), rows_of(expected, begin, count),
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
    const auto session = backend_->open_session();
    for (std::int64_t begin = 0; begin < kTokens; begin += chunk) {
      const std::int64_t count = std::min(chunk, kTokens - begin);
      expect_within(flash(*session, 0, begin, count), rows_of(expected, begin, count),
                    fmt::format("chunks of {} at {}", chunk, begin), 0.5);
    }
  }
}

TEST_P(BackendAttentionTest, AnEarlierPositionTruncatesTheCache) {
  make_sequence(20);
  flash(*session_, 0, 0, 20);
  const OwnedTensor old_tail = rows_of(*k_, 12, 8);
  make_sequence(20);
  flash(*session_, 0, 0, 12);  // another sequence from the start
  flash(*session_, 0, 12, 5);
  // Positions 15 and 16 again: what stood there is forgotten, and so is what followed.
  expect_within(flash(*session_, 0, 15, 2), rows_of(expected_flash(), 15, 2), "truncated", 0.5);
  EXPECT_THROW(flash(*session_, 0, 18, 1), Error);
  expect_within(flash(*session_, 0, 17, 3), rows_of(expected_flash(), 17, 3), "continued", 0.5);
}

TEST_P(BackendAttentionTest, APositionPastTheCacheIsALostSession) {
  make_sequence(10);
  flash(*session_, 0, 0, 4);
  const auto expect_lost = [&](const auto& body) {
    try {
      body();
      FAIL() << "a call past the cache was answered";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kSessionLost) << error.what();
    }
  };
  expect_lost([&] { flash(*session_, 0, 5, 1); });
  expect_lost([&] { flash(*session_, 1, 4, 1); });  // another layer holds nothing
  expect_lost([&] { flash(*backend_->open_session(), 0, 4, 1); });
  expect_lost([&] {
    run(make_call(Op::kAttentionBlock, 0, DType::kF32, 5), {random(DType::kF32, {1, 45})});
  });
  // What the session held is still there.
  expect_within(flash(*session_, 0, 4, 6), rows_of(expected_flash(), 4, 6), "afterwards", 0.5);
}

TEST_P(BackendAttentionTest, SessionsAndLayersKeepTheirOwnCaches) {
  const auto other = backend_->open_session();
  make_sequence(12);
  const Bounded mine = expected_flash();
  flash(*session_, 0, 0, 8);
  const auto keep = [&] { return std::tuple(std::move(q_), std::move(k_), std::move(v_)); };
  auto saved = keep();
  make_sequence(12);
  flash(*other, 0, 0, 8);
  flash(*session_, 1, 0, 8);
  expect_within(flash(*other, 0, 8, 4), rows_of(expected_flash(), 8, 4), "the other", 0.5);
  std::tie(q_, k_, v_) = std::move(saved);
  expect_within(flash(*session_, 0, 8, 4), rows_of(mine, 8, 4), "mine", 0.5);
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
  EXPECT_EQ(session_->kv_bytes(), 0);
  make_sequence(200);
  std::int64_t position = 0;
  for (const std::int64_t tokens : {1, 62, 1, 1, 100, 35}) {
    Call call = make_call(Op::kFlashAttention, 0, DType::kF32, position);
    call.ranges[0].tokens = static_cast<std::int32_t>(tokens);
    call.inputs = {{DType::kBF16, {tokens, c.q_dim()}},
                   {DType::kBF16, {tokens, c.kv_dim()}},
                   {DType::kBF16, {tokens, c.kv_dim()}}};
    const std::int64_t predicted = session_->kv_bytes_after(call);
    flash(*session_, 0, position, tokens);
    position += tokens;
    EXPECT_EQ(session_->kv_bytes(), predicted) << position;
    const std::int64_t row = 2 * c.kv_dim() * element;
    EXPECT_GE(session_->kv_bytes(), position * row);
    EXPECT_LE(session_->kv_bytes(), std::max<std::int64_t>(2 * position, 64) * row);
  }
  Call linear = linear_call(0, {Weight::kQ}, DType::kF32);
  linear.inputs = {{DType::kF32, {200, c.hidden}}};
  EXPECT_EQ(session_->kv_bytes_after(linear), session_->kv_bytes());
}

}  // namespace
}  // namespace airlock::testing
