#include "airlock/worker/cuda/kernels/attention.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "airlock/worker/cuda/kernels/attention_mma.h"

#include "tests/math/random.h"
#include "tests/support/naive_attention.h"
#include "tests/worker/cuda/emulate.h"

namespace airlock::cuda::testing::attention_test {
namespace {

struct Shapes {
  int tokens, position, heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Shapes& s) {
  return out << s.tokens << " tokens at " << s.position << ", " << s.heads << "/" << s.kv_heads
             << " heads of " << s.head_dim;
}

/// A random problem whose cache has rows beyond the context, all NaN, and its exact solution.
template <typename T>
class Problem {
 public:
  explicit Problem(const Shapes& s) : shapes_(s), capacity_(s.position + s.tokens + 5) {
    q_ = narrowed<T>(
        airlock::testing::random_floats(std::int64_t{s.tokens} * s.heads * s.head_dim, 1));
    keys_ = cache(2);
    values_ = cache(3);
    solve();
  }

  /// args(), with room for `splits` parts of the context.
  AttentionArgs args(void* out, int splits = 1) {
    AttentionArgs args;
    args.q = q_.data();
    args.keys = keys_.data();
    args.values = values_.data();
    args.head_stride = std::int64_t{capacity_} * shapes_.head_dim;
    args.out = out;
    args.tokens = shapes_.tokens;
    args.position = shapes_.position;
    args.heads = shapes_.heads;
    args.kv_heads = shapes_.kv_heads;
    args.head_dim = shapes_.head_dim;
    args.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shapes_.head_dim)));
    args.splits = splits;
    args.split_keys = static_cast<int>(ceil_div(shapes_.position + shapes_.tokens, splits));
    partial_.assign(static_cast<std::size_t>(splits) * q_.size(), std::nanf(""));
    states_.assign(partial_.size() / static_cast<std::size_t>(shapes_.head_dim), {});
    args.partial = partial_.data();
    args.states = states_.data();
    return args;
  }

  template <typename Out>
  void expect_solved(const std::vector<Out>& out, double weight_unit, const std::string& what) {
    const double out_unit = std::is_same_v<Out, float>  ? 0x1p-24
                            : std::is_same_v<Out, BF16> ? 0x1p-8
                                                        : 0x1p-11;
    // A score's f32 sum of head_dim products moves its weight by as much; sums over the context
    // and exp add a few units each; a weight rounded to T moves by a unit of T.
    const double scores = 4.0 * shapes_.head_dim * 0x1p-24 * 8;
    const double sums = 2.0 * (shapes_.position + shapes_.tokens + 32) * 0x1p-24;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double bound =
          (weight_unit + scores + sums) * largest_value_ + out_unit * std::fabs(expected_[i]);
      ASSERT_NEAR(to_float(out[i]), expected_[i], bound) << what << ' ' << shapes_ << " at " << i;
    }
  }

  [[nodiscard]] std::size_t size() const { return q_.size(); }
  [[nodiscard]] const Shapes& shapes() const { return shapes_; }

 private:
  std::vector<T> cache(unsigned seed) {
    const std::int64_t head = std::int64_t{capacity_} * shapes_.head_dim;
    std::vector<float> rows = airlock::testing::random_floats(shapes_.kv_heads * head, seed);
    for (int h = 1; h <= shapes_.kv_heads; ++h) {
      std::fill(rows.begin() + h * head - 5 * shapes_.head_dim, rows.begin() + h * head,
                std::nanf(""));
    }
    return narrowed<T>(rows);
  }

  void solve() {
    const std::vector<float> q = widened(q_);
    const std::vector<float> keys = widened(keys_);
    const std::vector<float> values = widened(values_);
    for (const float value : values) {
      if (!std::isnan(value)) largest_value_ = std::max<double>(largest_value_, std::fabs(value));
    }
    expected_.resize(q.size());
    const std::int64_t row = std::int64_t{shapes_.heads} * shapes_.head_dim;
    const std::int64_t head = std::int64_t{capacity_} * shapes_.head_dim;
    FlashAttentionArgs args;
    args.q = {q.data(), row, shapes_.head_dim};
    args.k = {keys.data(), shapes_.head_dim, head};
    args.v = {values.data(), shapes_.head_dim, head};
    args.out = {expected_.data(), row, shapes_.head_dim};
    args.tokens = shapes_.tokens;
    args.position = shapes_.position;
    args.heads = shapes_.heads;
    args.kv_heads = shapes_.kv_heads;
    args.head_dim = shapes_.head_dim;
    args.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shapes_.head_dim)));
    airlock::testing::naive_attention(args);
  }

  Shapes shapes_;
  int capacity_;
  std::vector<T> q_, keys_, values_;
  std::vector<float> expected_;
  std::vector<float> partial_;
  std::vector<AttentionPart> states_;
  double largest_value_ = 0;
};

template <typename T, typename Out>
void check_plain(const Shapes& shapes) {
  Problem<T> problem(shapes);
  for (const int splits : {1, 2, 3, 7}) {
    std::vector<Out> out(problem.size(), from_float<Out>(42));
    const AttentionArgs args = problem.args(out.data(), splits);
    run_grid(plain_grid(args), [&](const BlockId& block, void* shared) {
      plain_attention_block<T, Out>(args, block, static_cast<float*>(shared));
    });
    if (splits > 1) {
      Grid rows;
      rows.x = args.tokens * args.heads;
      run_grid(rows, [&](const BlockId& block, void*) { merge_block<Out>(args, block); });
    }
    problem.expect_solved(out, 0, std::to_string(splits) + " parts");
  }
}

const std::vector<Shapes>& plain_shapes() {
  static const std::vector<Shapes> shapes = {
      {1, 0, 6, 2, 14},   {1, 99, 6, 2, 14},  {37, 0, 3, 1, 32},  {13, 64, 4, 4, 64},
      {1, 300, 32, 8, 8}, {9, 31, 5, 1, 128}, {33, 32, 2, 1, 192}};
  return shapes;
}

TEST(CudaPlainAttention, SolvesF32InAnyParts) {
  for (const Shapes& shapes : plain_shapes()) check_plain<float, float>(shapes);
}

TEST(CudaPlainAttention, SolvesNarrowTypes) {
  for (const Shapes& shapes : plain_shapes()) {
    check_plain<BF16, BF16>(shapes);
    check_plain<BF16, float>(shapes);
    check_plain<F16, F16>(shapes);
  }
}

TEST(CudaPlainAttention, PartsCoverTheContextOnceAndOnlyForFewTokens) {
  for (const Shapes& shapes : {Shapes{1, 0, 32, 8, 64}, Shapes{1, 4095, 32, 8, 64},
                               Shapes{1, 100'000, 32, 8, 64}, Shapes{4096, 0, 32, 8, 64}}) {
    AttentionArgs args;
    args.tokens = shapes.tokens;
    args.position = shapes.position;
    args.heads = shapes.heads;
    args.kv_heads = shapes.kv_heads;
    args.head_dim = shapes.head_dim;
    const std::int64_t context = std::int64_t{shapes.position} + shapes.tokens;
    choose_splits(args, 132, static_cast<int>(context));
    EXPECT_GE(std::int64_t{args.splits} * args.split_keys, context) << shapes;
    EXPECT_LT((args.splits - std::int64_t{1}) * args.split_keys, context) << shapes;
    EXPECT_EQ(args.splits == 1, shapes.tokens > 1 || shapes.position == 0) << shapes;
  }
}

TEST(CudaPlainAttention, PartsPastWhatTokensSeeAreEmptyAndThePositionMayLieOnTheDevice) {
  for (const Shapes& shapes : {Shapes{1, 5, 4, 2, 14}, Shapes{3, 300, 4, 1, 64}}) {
    Problem<float> problem(shapes);
    std::vector<float> out(problem.size(), 42.0F);
    AttentionArgs args = problem.args(out.data(), 8);
    choose_splits(args, 132, 2048);  // as of a cache with room for so many
    ASSERT_EQ(args.splits, 8);
    const std::int64_t position = args.position;
    args.position = -1;
    args.position_at = &position;
    run_grid(plain_grid(args), [&](const BlockId& block, void* shared) {
      plain_attention_block<float, float>(at_position(args), block, static_cast<float*>(shared));
    });
    Grid rows;
    rows.x = args.tokens * args.heads;
    run_grid(rows, [&](const BlockId& block, void*) { merge_block<float>(args, block); });
    problem.expect_solved(out, 0, "8 parts of 2048 keys");
  }
}

template <typename T, typename Out, int kHeadDim>
void check_mma(Shapes shapes) {
  shapes.head_dim = kHeadDim;
  Problem<T> problem(shapes);
  std::vector<Out> out(problem.size(), from_float<Out>(42));
  const AttentionArgs args = problem.args(out.data());
  run_grid(mma_grid(args), [&](const BlockId& block, void* shared) {
    MmaAttention<T, Out, kHeadDim>(args, block, static_cast<T*>(shared)).run();
  });
  problem.expect_solved(out, std::is_same_v<T, BF16> ? 0x1p-8 : 0x1p-11, "mma");
}

TEST(CudaMmaAttention, SolvesTilesFullAndNotInBothHeadSizesAndTypes) {
  for (const Shapes& shapes :
       {Shapes{1, 0, 2, 1, 0}, Shapes{64, 0, 2, 2, 0}, Shapes{65, 0, 4, 2, 0},
        Shapes{100, 37, 6, 2, 0}, Shapes{20, 200, 3, 1, 0}, Shapes{130, 63, 2, 1, 0}}) {
    check_mma<BF16, BF16, 64>(shapes);
    check_mma<BF16, float, 64>(shapes);
    check_mma<BF16, BF16, 128>(shapes);
    check_mma<F16, F16, 64>(shapes);
    check_mma<F16, float, 128>(shapes);
  }
}

TEST(CudaMmaAttention, KeepsWhatItSharesInsideTheBoundEveryBlockMayHave) {
  for (const int head_dim : {64, 128}) {
    AttentionArgs args;
    args.tokens = 1;
    args.heads = args.kv_heads = 1;
    args.head_dim = head_dim;
    EXPECT_TRUE(mma_head_dim(head_dim));
    EXPECT_LE(mma_grid(args).shared_bytes, 48U << 10);
  }
}

}  // namespace
}  // namespace airlock::cuda::testing::attention_test
