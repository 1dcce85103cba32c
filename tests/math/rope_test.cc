#include "airlock/math/rope.h"

#include <cmath>
#include <thread>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::rope_test {
namespace {

/// Hugging Face's `q * cos + rotate_half(q) * sin` for one head row, in f64.
std::vector<double> rotate_half(const float* x, const std::vector<double>& frequencies,
                                std::int64_t position) {
  const std::size_t half = frequencies.size();
  std::vector<double> out(2 * half);
  for (std::size_t i = 0; i < 2 * half; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i % half];
    const double partner = i < half ? -double{x[i + half]} : double{x[i - half]};
    out[i] = x[i] * std::cos(angle) + partner * std::sin(angle);
  }
  return out;
}

/// Rounded cosine and sine, two products or one and a fused one, each at most the row's pair norm.
double bound(const float* x, std::size_t half, std::size_t i) {
  return 4 * testing::kF32Unit * (std::fabs(x[i % half]) + std::fabs(x[i % half + half]));
}

TEST(RopeTable, ApplyRotatesEveryRowAsHuggingFace) {
  testing::for_each_target([&] {
    for (const std::int64_t head_dim : {2, 6, 16, 64, 80, 128, 130}) {
      for (const std::int64_t position : {0, 1, 300, 8000}) {
        const std::int64_t tokens = 3;
        const std::int64_t heads = 2;
        const RopeTable table(head_dim, 10000);
        const auto frequencies = rope_inverse_frequencies(head_dim, 10000, std::nullopt);
        const std::vector<float> x = testing::random_floats(tokens * heads * head_dim, 1);
        std::vector<float> out = x;
        table.apply(out.data(), tokens, heads, position);
        for (std::int64_t row = 0; row < tokens * heads; ++row) {
          const float* in = x.data() + row * head_dim;
          const auto expected = rotate_half(in, frequencies, position + row / heads);
          for (std::size_t i = 0; i < expected.size(); ++i) {
            ASSERT_NEAR(out[static_cast<std::size_t>(row * head_dim) + i], expected[i],
                        bound(in, frequencies.size(), i));
          }
        }
      }
    }
  });
}

TEST(RopeTable, ApplyToHeadsWritesTheSameRowsIntoTheCache) {
  testing::for_each_target([&] {
    const std::int64_t tokens = 5, heads = 3, head_dim = 20, capacity = 16, first_row = 7;
    const RopeTable table(head_dim, 500000);
    const std::vector<float> x = testing::random_floats(tokens * heads * head_dim, 2);
    std::vector<float> in_place = x;
    table.apply(in_place.data(), tokens, heads, 100);
    std::vector<float> cache(static_cast<std::size_t>(heads * capacity * head_dim), 42);
    std::vector<BF16> cache16(cache.size(), BF16::from_float(42));
    table.apply_to_heads(x.data(), tokens, heads, 100, cache.data(), capacity * head_dim,
                         first_row);
    table.apply_to_heads(x.data(), tokens, heads, 100, cache16.data(), capacity * head_dim,
                         first_row);
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t row = 0; row < capacity; ++row) {
        for (std::int64_t i = 0; i < head_dim; ++i) {
          const auto at = static_cast<std::size_t>((h * capacity + row) * head_dim + i);
          const std::int64_t t = row - first_row;
          const bool written = t >= 0 && t < tokens;
          const float expected =
              written ? in_place[static_cast<std::size_t>((t * heads + h) * head_dim + i)] : 42;
          ASSERT_EQ(cache[at], expected);
          ASSERT_EQ(cache16[at].bits, BF16::from_float(expected).bits);
        }
      }
    }
  });
}

TEST(RopeTable, ScoresDependOnDistanceOnly) {
  const std::int64_t head_dim = 64;
  const RopeTable table(head_dim, 10000);
  const std::vector<float> q = testing::random_floats(head_dim, 3);
  const std::vector<float> k = testing::random_floats(head_dim, 4);
  const auto score = [&](std::int64_t at_q, std::int64_t at_k) {
    std::vector<float> a = q;
    std::vector<float> b = k;
    table.apply(a.data(), 1, 1, at_q);
    table.apply(b.data(), 1, 1, at_k);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
    return sum;
  };
  double norm = 0;
  for (std::size_t i = 0; i < q.size(); ++i)
    norm += std::fabs(double{q[i]}) + std::fabs(double{k[i]});
  // Each factor errs by a few units of its pair; 3 is above any |element| here.
  EXPECT_NEAR(score(10, 3), score(1010, 1003), 16 * testing::kF32Unit * norm * 3);
}

TEST(RopeFrequencies, FollowLlama3Scaling) {
  // From transformers' formula at the values of LLaMA 3.2-1B: the first frequencies are kept, the
  // last divided by 32, those between interpolated.
  const Llama3RopeScaling scaling{32, 1, 4, 8192};
  const auto plain = rope_inverse_frequencies(64, 500000, std::nullopt);
  const auto scaled = rope_inverse_frequencies(64, 500000, scaling);
  ASSERT_EQ(plain.size(), 32U);
  EXPECT_EQ(plain[0], 1);
  EXPECT_DOUBLE_EQ(plain[16], 1 / std::sqrt(500000.0));
  int kept = 0, divided = 0, between = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const double wavelength = 2 * 3.14159265358979323846 / plain[i];
    if (wavelength < 2048) {
      EXPECT_EQ(scaled[i], plain[i]);
      ++kept;
    } else if (wavelength > 8192) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 32);
      ++divided;
    } else {
      const double smooth = (8192 / wavelength - 1) / 3;
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] * ((1 - smooth) / 32 + smooth));
      ++between;
    }
  }
  EXPECT_EQ(kept, 15);
  EXPECT_EQ(divided, 14);
  EXPECT_EQ(between, 3);
}

TEST(RopeTable, GrowsUnderConcurrentReaders) {
  const RopeTable table(8, 10000);
  std::vector<float> far = testing::random_floats(8, 5);
  const std::vector<float> start = far;
  const RopeTable fresh(8, 10000);
  fresh.apply(far.data(), 1, 1, 4999);
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&] {
      for (std::int64_t position = 0; position < 5000; position += 7) {
        std::vector<float> x = start;
        table.apply(x.data(), 1, 1, position);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<float> x = start;
  table.apply(x.data(), 1, 1, 4999);
  EXPECT_EQ(x, far);
}

TEST(RopeTable, RefusesImpossibleParameters) {
  EXPECT_THROW(RopeTable(7, 10000), Error);
  EXPECT_THROW(RopeTable(0, 10000), Error);
  EXPECT_THROW(RopeTable(8, 0), Error);
  EXPECT_THROW(RopeTable(8, 10000, Llama3RopeScaling{0, 1, 4, 8192}), Error);
  EXPECT_THROW(RopeTable(8, 10000, Llama3RopeScaling{8, 4, 4, 8192}), Error);
  EXPECT_THROW(RopeTable(8, 10000, Llama3RopeScaling{8, 1, 4, 0}), Error);
  const RopeTable table(8, 10000);
  EXPECT_THROW(table.reserve(-1), Error);
  EXPECT_THROW(table.reserve(INT64_MAX), Error);
}

}  // namespace
}  // namespace airlock::rope_test
