#include "airlock/math/flash_attention.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/flash_kernel.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"
#include "tests/support/naive_attention.h"

namespace airlock::flash_attention_test {
namespace {

struct Shapes {
  std::int64_t tokens, position, heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Shapes& s) {
  return out << s.tokens << " tokens at " << s.position << ", " << s.heads << "/" << s.kv_heads
             << " heads of " << s.head_dim;
}

/// Random q, k and v of a shape, q and out token-major, k and v head-major in a larger cache whose
/// unused rows are NaN: reading them would show.
struct Problem {
  Shapes shapes;
  DType dtype;
  std::int64_t capacity;
  std::vector<float> q, k, v;
  std::vector<BF16> q16, k16, v16;

  Problem(const Shapes& s, DType d, unsigned seed, float deviation = 1)
      : shapes(s), dtype(d), capacity(s.position + s.tokens + 3) {
    q = testing::random_floats(s.tokens * s.heads * s.head_dim, seed, deviation);
    k = testing::random_floats(s.kv_heads * capacity * s.head_dim, seed + 1, deviation);
    v = testing::random_floats(s.kv_heads * capacity * s.head_dim, seed + 2);
    for (std::int64_t head = 0; head < s.kv_heads; ++head) {
      const auto end = static_cast<std::ptrdiff_t>((head + 1) * capacity * s.head_dim);
      for (auto* cache : {&k, &v}) {
        std::fill(cache->begin() + end - 3 * s.head_dim, cache->begin() + end, std::nanf(""));
      }
    }
    if (dtype == DType::kBF16) {
      q16 = testing::to_bf16(q), k16 = testing::to_bf16(k), v16 = testing::to_bf16(v);
    }
  }

  [[nodiscard]] FlashAttentionArgs args(float* out) const {
    const bool wide = dtype == DType::kF32;
    const auto data = [&](const auto& full, const auto& half) {
      return wide ? static_cast<const void*>(full.data()) : half.data();
    };
    const std::int64_t cache = capacity * shapes.head_dim;
    const std::int64_t token = shapes.heads * shapes.head_dim;
    return {.dtype = dtype,
            .out_dtype = DType::kF32,
            .q = {data(q, q16), token, shapes.head_dim},
            .k = {data(k, k16), shapes.head_dim, cache},
            .v = {data(v, v16), shapes.head_dim, cache},
            .out = {out, token, shapes.head_dim},
            .tokens = shapes.tokens,
            .position = shapes.position,
            .heads = shapes.heads,
            .kv_heads = shapes.kv_heads,
            .head_dim = shapes.head_dim,
            .scale = 1 / std::sqrt(static_cast<float>(shapes.head_dim))};
  }

  [[nodiscard]] std::size_t out_size() const { return q.size(); }
  [[nodiscard]] std::vector<float> naive() const {
    std::vector<float> out(out_size());
    testing::naive_attention(args(out.data()));
    return out;
  }
  [[nodiscard]] std::vector<float> flash(const FlashKernel& kernel) const {
    std::vector<float> out(out_size(), 42);
    flash_attention_on(kernel, args(out.data()), BufferPool());
    return out;
  }

  /// The largest magnitude, cache rows out of use apart.
  [[nodiscard]] static double largest(const std::vector<float>& x) {
    double top = 0;
    for (const float value : x) {
      if (!std::isnan(value)) top = std::max(top, std::fabs(static_cast<double>(value)));
    }
    return top;
  }
  /// The largest Euclidean norm of a row of head_dim elements.
  [[nodiscard]] double longest_row(const std::vector<float>& x) const {
    double top = 0;
    const auto dim = static_cast<std::size_t>(shapes.head_dim);
    for (std::size_t row = 0; row < x.size(); row += dim) {
      double squares = 0;
      for (std::size_t i = row; i < row + dim; ++i) squares += double{x[i]} * double{x[i]};
      if (!std::isnan(squares)) top = std::max(top, squares);
    }
    return std::sqrt(top);
  }

  /// Largest error that the kernel's roundings can cause in an output element.
  [[nodiscard]] double bound(bool rounds_weights) const {
    // A score errs by (head_dim + 8) units of scale |q| |k| (the dot product's a priori bound by
    // Cauchy and Schwarz); a weight by the factor e^(2 error), its exponential, and on bf16 paths
    // the cubic exponential and a rounding; the output by those and an addition per key, all
    // relative to the largest value.
    const double dim = static_cast<double>(shapes.head_dim);
    const double score = longest_row(q) * longest_row(k) / std::sqrt(dim);
    const double score_error = (dim + 8) * testing::kF32Unit * score;
    const double context = static_cast<double>(shapes.position + shapes.tokens);
    double relative = 2 * score_error + (8 + context) * testing::kF32Unit;
    if (rounds_weights) relative += 1.01 * testing::kBF16Unit + 2 * 0x1p-13;
    return (relative + testing::kF32Unit) * largest(v);
  }
};

struct PathCase {
  DType dtype;
  FlashPath path;
  const char* name;
};

constexpr PathCase kPaths[] = {{DType::kF32, FlashPath::kPortable, "F32"},
                               {DType::kBF16, FlashPath::kPortable, "Bf16Portable"},
                               {DType::kBF16, FlashPath::kAvx512Bf16, "Bf16Avx512"},
                               {DType::kBF16, FlashPath::kAmx, "Bf16Amx"}};

class FlashPathTest : public ::testing::TestWithParam<PathCase> {
 protected:
  void SetUp() override {
    kernel_ = flash_kernel(GetParam().dtype, GetParam().path);
    if (kernel_ == nullptr)
      GTEST_SKIP() << "no such instructions here, or AIRLOCK_MAX_ISA rules them out";
  }

  /// Runs body on the kernel, the portable one on every target it was compiled for.
  template <typename Body>
  void on_each_target(const Body& body) {
    if (GetParam().path != FlashPath::kPortable) return body();
    testing::for_each_target([&] {
      kernel_ = flash_kernel(GetParam().dtype, GetParam().path);
      body();
    });
    kernel_ = flash_kernel(GetParam().dtype, GetParam().path);
  }

  [[nodiscard]] bool rounds_weights() const {
    return GetParam().path == FlashPath::kAvx512Bf16 || GetParam().path == FlashPath::kAmx;
  }

  void expect_as_naive(const Shapes& shapes, unsigned seed, float deviation = 1) const {
    const Problem problem(shapes, GetParam().dtype, seed, deviation);
    const std::vector<float> expected = problem.naive();
    const std::vector<float> got = problem.flash(*kernel_);
    const double bound = problem.bound(rounds_weights());
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], bound) << shapes << ", element " << i;
    }
  }

  const FlashKernel* kernel_ = nullptr;
};

TEST_P(FlashPathTest, EqualsNaiveAttentionOverHeadDims) {
  for (const std::int64_t head_dim : {1,  2,  3,  7,  8,  15, 16, 17,  31,  32,  33,  40,
                                      47, 48, 63, 64, 65, 80, 96, 100, 127, 128, 129, 200}) {
    on_each_target([&] {
      expect_as_naive({37, 5, 4, 2, head_dim}, 1);
      expect_as_naive({1, 40, 4, 2, head_dim}, 2);
    });
  }
}

TEST_P(FlashPathTest, EqualsNaiveAttentionOverTokensAndPositions) {
  for (const std::int64_t tokens : {1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 65, 127, 130, 257}) {
    for (const std::int64_t position : {0, 1, 31, 127, 128, 129, 300}) {
      expect_as_naive({tokens, position, 3, 3, 16}, 3);
    }
  }
}

TEST_P(FlashPathTest, EqualsNaiveAttentionOverHeadGroups) {
  for (const auto& [heads, kv_heads] : std::initializer_list<std::pair<int, int>>{
           {1, 1}, {8, 1}, {71, 1}, {300, 1}, {6, 2}, {5, 5}, {12, 4}, {33, 11}}) {
    expect_as_naive({19, 3, heads, kv_heads, 20}, 4);
    expect_as_naive({1, 150, heads, kv_heads, 20}, 5);
  }
}

TEST_P(FlashPathTest, EqualsNaiveAttentionWhenTheContextIsSplitOverThreads) {
  const int before = threads();
  set_threads(7);
  expect_as_naive({1, 60'000, 4, 2, 32}, 6);
  expect_as_naive({3, 20'097, 2, 1, 40}, 7);
  expect_as_naive({1, 20'000, 40, 1, 8}, 8);
  set_threads(before);
}

TEST_P(FlashPathTest, EqualsNaiveAttentionWhenScoresAreLarge) {
  // Weights concentrate on single keys and running maxima jump from block to block.
  on_each_target([&] { expect_as_naive({300, 20, 2, 1, 16}, 9, 4); });
}

TEST_P(FlashPathTest, GivesTheSameInChunksAsInOne) {
  const Shapes whole{200, 0, 4, 2, 48};
  const Problem problem(whole, GetParam().dtype, 10);
  const std::vector<float> at_once = problem.flash(*kernel_);
  std::vector<float> chunked(at_once.size());
  const std::size_t size = dtype_size(problem.dtype);
  const std::int64_t row = whole.heads * whole.head_dim;
  for (std::int64_t done = 0; done < whole.tokens;) {
    FlashAttentionArgs args = problem.args(chunked.data() + done * row);
    args.tokens = std::min<std::int64_t>(done == 0 ? 33 : 70, whole.tokens - done);
    args.position = done;
    args.q.data =
        static_cast<const std::byte*>(args.q.data) + static_cast<std::size_t>(done * row) * size;
    flash_attention_on(*kernel_, args, BufferPool());
    done += args.tokens;
  }
  // Both lie within the bound of the true value.
  const double bound = 2 * problem.bound(rounds_weights());
  for (std::size_t i = 0; i < chunked.size(); ++i) ASSERT_NEAR(chunked[i], at_once[i], bound);
}

TEST_P(FlashPathTest, ABatchGivesEachTheSameAsAlone) {
  // Too small for a second thread, large enough, of one KV head whose keys are split, and nothing.
  const Shapes batch[] = {{1, 0, 4, 2, 48},     {1, 200, 4, 2, 48}, {200, 5, 4, 2, 48},
                          {0, 7, 4, 2, 48},     {3, 40, 4, 2, 48},  {1, 9000, 32, 1, 64},
                          {1, 7000, 32, 8, 64}, {2, 33, 4, 2, 48}};
  std::vector<Problem> problems;
  std::vector<std::vector<float>> outs;
  for (const Shapes& shapes : batch) {
    problems.emplace_back(shapes, GetParam().dtype, 20 + static_cast<unsigned>(outs.size()));
    outs.emplace_back(problems.back().out_size(), 42);
  }
  std::vector<FlashAttentionArgs> all;
  for (std::size_t i = 0; i < outs.size(); ++i) all.push_back(problems[i].args(outs[i].data()));
  flash_attention_on(*kernel_, all, BufferPool());
  for (std::size_t i = 0; i < outs.size(); ++i) {
    EXPECT_EQ(outs[i], problems[i].flash(*kernel_)) << batch[i];
  }
}

TEST_P(FlashPathTest, ReadsTokenMajorCachesAndWritesBf16HeadMajor) {
  const Shapes shapes{45, 20, 6, 3, 24};
  const Problem problem(shapes, GetParam().dtype, 11);
  const std::vector<float> expected = problem.flash(*kernel_);
  const std::int64_t context = shapes.tokens + shapes.position;
  const std::size_t size = dtype_size(problem.dtype);
  const auto to_token_major = [&](const ConstHeadsView& view) {
    std::vector<std::byte> bytes(
        static_cast<std::size_t>(context * shapes.kv_heads * shapes.head_dim) * size);
    for (std::int64_t t = 0; t < context; ++t) {
      for (std::int64_t h = 0; h < shapes.kv_heads; ++h) {
        const auto from = static_cast<std::size_t>(t * view.token_stride + h * view.head_stride);
        const auto to = static_cast<std::size_t>((t * shapes.kv_heads + h) * shapes.head_dim);
        std::copy_n(static_cast<const std::byte*>(view.data) + from * size,
                    static_cast<std::size_t>(shapes.head_dim) * size, bytes.data() + to * size);
      }
    }
    return bytes;
  };
  std::vector<BF16> out(expected.size());
  FlashAttentionArgs args = problem.args(nullptr);
  const auto k = to_token_major(args.k);
  const auto v = to_token_major(args.v);
  args.k = {k.data(), shapes.kv_heads * shapes.head_dim, shapes.head_dim};
  args.v = {v.data(), shapes.kv_heads * shapes.head_dim, shapes.head_dim};
  args.out_dtype = DType::kBF16;
  args.out = {out.data(), shapes.head_dim, shapes.tokens * shapes.head_dim};
  flash_attention_on(*kernel_, args, BufferPool());
  for (std::int64_t t = 0; t < shapes.tokens; ++t) {
    for (std::int64_t i = 0; i < shapes.heads * shapes.head_dim; ++i) {
      const std::int64_t h = i / shapes.head_dim;
      const auto at =
          static_cast<std::size_t>((h * shapes.tokens + t) * shapes.head_dim + i % shapes.head_dim);
      const float whole =
          expected[static_cast<std::size_t>(t * shapes.heads * shapes.head_dim + i)];
      ASSERT_EQ(out[at].bits, BF16::from_float(whole).bits);
    }
  }
}

TEST_P(FlashPathTest, PassesNanOnToTheRowsThatSeeIt) {
  const Shapes shapes{70, 0, 2, 1, 16};
  Problem problem(shapes, GetParam().dtype, 12);
  // A NaN in key 40 poisons every row from 40 on and none before.
  problem.k[40 * 16 + 3] = std::nanf("");
  if (problem.dtype == DType::kBF16) problem.k16 = testing::to_bf16(problem.k);
  const std::vector<float> out = problem.flash(*kernel_);
  for (std::int64_t t = 0; t < shapes.tokens; ++t) {
    for (std::int64_t i = 0; i < 32; ++i) {
      ASSERT_EQ(std::isnan(out[static_cast<std::size_t>(t * 32 + i)]), t >= 40) << t;
    }
  }
}

TEST_P(FlashPathTest, AveragesEvenlyAtScaleZero) {
  const Problem problem({9, 130, 1, 1, 4}, GetParam().dtype, 13);
  std::vector<float> out(problem.out_size());
  std::vector<float> expected(problem.out_size());
  FlashAttentionArgs args = problem.args(out.data());
  args.scale = 0;
  flash_attention_on(*kernel_, args, BufferPool());
  args.out.data = expected.data();
  testing::naive_attention(args);
  for (std::size_t i = 0; i < out.size(); ++i) {
    ASSERT_NEAR(out[i], expected[i], problem.bound(rounds_weights()));
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, FlashPathTest, ::testing::ValuesIn(kPaths),
                         [](const auto& test) { return test.param.name; });

TEST(FlashAttention, WorkingMemoryDoesNotGrowWithTokensOrContext) {
  const auto bytes = [](std::int64_t tokens, std::int64_t position) {
    const Shapes shapes{1, 0, 32, 8, 64};
    FlashAttentionArgs args = Problem(shapes, DType::kF32, 14).args(nullptr);
    args.tokens = tokens;
    args.position = position;
    return flash_attention_scratch_bytes(args);
  };
  EXPECT_EQ(bytes(1024, 0), bytes(65536, 0));
  EXPECT_EQ(bytes(1024, 0), bytes(1024, 100'000));
  EXPECT_LE(bytes(65536, 0), threads() * (std::int64_t{1} << 20));
}

TEST(FlashAttention, TakesItsMemoryFromThePoolAndGivesItBack) {
  const Problem problem({20, 0, 2, 1, 16}, DType::kF32, 15);
  const BufferPool pool;
  std::vector<float> out(problem.out_size());
  flash_attention(problem.args(out.data()), pool);
  EXPECT_EQ(pool.bytes_in_use(), 0U);
  const std::size_t idle = pool.bytes_idle();
  EXPECT_GE(idle,
            static_cast<std::size_t>(flash_attention_scratch_bytes(problem.args(out.data()))));
  flash_attention(problem.args(out.data()), pool);
  EXPECT_EQ(pool.bytes_idle(), idle);
}

TEST(FlashAttention, RefusesImpossibleArguments) {
  const Problem problem({4, 0, 4, 2, 8}, DType::kF32, 16);
  std::vector<float> out(problem.out_size());
  const auto expect_refused = [&](auto change) {
    FlashAttentionArgs args = problem.args(out.data());
    change(args);
    EXPECT_THROW(flash_attention(args), Error);
    EXPECT_THROW(static_cast<void>(flash_attention_scratch_bytes(args)), Error);
  };
  expect_refused([](auto& a) { a.kv_heads = 3; });
  expect_refused([](auto& a) { a.kv_heads = 0; });
  expect_refused([](auto& a) { a.heads = 0; });
  expect_refused([](auto& a) { a.head_dim = 0; });
  expect_refused([](auto& a) { a.head_dim = INT64_MAX; });
  expect_refused([](auto& a) { a.tokens = -1; });
  expect_refused([](auto& a) { a.tokens = INT64_MAX; });
  expect_refused([](auto& a) { a.position = INT64_MAX; });
  expect_refused([](auto& a) { a.dtype = DType::kF16; });
  expect_refused([](auto& a) { a.out_dtype = DType::kI8; });
  expect_refused([](auto& a) { a.scale = std::nanf(""); });
  expect_refused([](auto& a) { a.scale = -1; });
  FlashAttentionArgs both[] = {problem.args(out.data()), problem.args(out.data())};
  both[1].dtype = DType::kBF16;
  EXPECT_THROW(flash_attention(both, BufferPool()), Error);
  EXPECT_NO_THROW(flash_attention(std::span<const FlashAttentionArgs>(), BufferPool()));
  FlashAttentionArgs none = problem.args(out.data());
  none.tokens = 0;
  EXPECT_NO_THROW(flash_attention(none));
}

}  // namespace
}  // namespace airlock::flash_attention_test
