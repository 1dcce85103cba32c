#include "airlock/worker/cuda/kernels/elementwise.h"

#include <cmath>

#include <gtest/gtest.h>

#include "airlock/math/activation.h"
#include "airlock/math/rope.h"
#include "airlock/math/softmax.h"
#include "airlock/worker/cuda/kernels/softmax.h"

#include "tests/math/random.h"
#include "tests/worker/cuda/emulate.h"

namespace airlock::cuda::testing::elementwise_test {
namespace {

template <typename T>
class CudaElementwise : public ::testing::Test {
 protected:
  /// Largest relative error of one rounding to T.
  static constexpr double unit() {
    return std::is_same_v<T, float> ? 0x1p-24 : std::is_same_v<T, BF16> ? 0x1p-8 : 0x1p-11;
  }
  /// Values that are T's already.
  static std::vector<T> random(std::int64_t count, unsigned seed) {
    return narrowed<T>(airlock::testing::random_floats(count, seed));
  }
};
using ComputeTypes = ::testing::Types<float, BF16, F16>;
TYPED_TEST_SUITE(CudaElementwise, ComputeTypes);

TYPED_TEST(CudaElementwise, SiluMulIsTheCpusOnHalvesOfRows) {
  using T = TypeParam;
  constexpr std::int64_t kRows = 3;
  for (const std::int64_t ffn : {1, 77, 1500}) {
    const std::vector<T> gate_up = this->random(kRows * 2 * ffn, 1);
    std::vector<T> out(static_cast<std::size_t>(kRows * ffn));
    const SiluArgs args{gate_up.data(), out.data(), kRows, ffn};
    run_grid(grid_over(kRows, ffn),
             [&](const BlockId& block, void*) { silu_mul_block<T>(args, block); });
    const std::vector<float> wide = widened(gate_up);
    std::vector<float> expected(out.size());
    for (std::int64_t row = 0; row < kRows; ++row) {
      const float* gate = wide.data() + row * 2 * ffn;
      silu_mul(airlock::testing::tensor_at(gate, {ffn}),
               airlock::testing::tensor_at(gate + ffn, {ffn}),
               airlock::testing::tensor_at(expected.data() + row * ffn, {ffn}));
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double bound = (this->unit() + 24 * 0x1p-24) * std::fabs(expected[i]) + 0x1p-25;
      ASSERT_NEAR(to_float(out[i]), expected[i], bound) << i;
    }
  }
}

/// Heads of one layer and a cache for them whose rows before and after a call stay as they were.
template <typename T>
struct Layer {
  static constexpr int kHeads = 6;
  static constexpr int kKvHeads = 2;
  static constexpr int kCapacity = 40;
  int head_dim;
  std::vector<T> keys, values;

  explicit Layer(int dim)
      : head_dim(dim),
        keys(static_cast<std::size_t>(kKvHeads * kCapacity * dim), from_float<T>(42)),
        values(keys) {}
  [[nodiscard]] CacheView view() {
    return {keys.data(), values.data(), std::int64_t{kCapacity} * head_dim};
  }
};

TYPED_TEST(CudaElementwise, RopeRotatesQAndKAndLeavesVAsTheCpuDoes) {
  using T = TypeParam;
  constexpr std::int64_t kRows = 9;
  constexpr std::int64_t kPosition = 23;
  for (const int head_dim : {14, 64}) {
    Layer<T> layer(head_dim);
    const std::int64_t half = head_dim / 2;
    const std::int64_t q_dim = Layer<T>::kHeads * head_dim;
    const std::int64_t kv_dim = Layer<T>::kKvHeads * head_dim;
    const std::int64_t width = q_dim + 2 * kv_dim;
    const std::vector<float> qkv = airlock::testing::random_floats(kRows * width, 5);
    const std::vector<double> frequencies = rope_inverse_frequencies(head_dim, 10000, {});
    std::vector<float> cosine(static_cast<std::size_t>(kRows * half));
    std::vector<float> sine(cosine.size());
    const AnglesArgs angles{frequencies.data(), cosine.data(), sine.data(), kPosition, kRows, half};
    run_grid(grid_over(kRows, half),
             [&](const BlockId& block, void*) { rope_angles_block(angles, block); });
    std::vector<T> q(static_cast<std::size_t>(kRows * q_dim));
    RopeArgs args{qkv.data(), cosine.data(), sine.data(), q.data(), layer.view(), kPosition, kRows};
    args.heads = Layer<T>::kHeads;
    args.kv_heads = Layer<T>::kKvHeads;
    args.head_dim = head_dim;
    run_grid(rope_grid(args), [&](const BlockId& block, void*) { rope_block<T>(args, block); });

    // The CPU rotates all heads of a row alike: q and k together, v copied beside them.
    std::vector<float> rotated(qkv);
    RopeTable(head_dim, 10000)
        .apply(rotated.data(), kRows, Layer<T>::kHeads + 2 * Layer<T>::kKvHeads, kPosition);
    const double bound = this->unit() * 8 + 4 * 0x1p-24 * 8;  // no |element| above 8
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (std::int64_t i = 0; i < q_dim; ++i) {
        ASSERT_NEAR(to_float(q[static_cast<std::size_t>(row * q_dim + i)]),
                    rotated[static_cast<std::size_t>(row * width + i)], bound);
      }
      for (std::int64_t i = 0; i < kv_dim; ++i) {
        const auto at = static_cast<std::size_t>(
            (i / head_dim * Layer<T>::kCapacity + kPosition + row) * head_dim + i % head_dim);
        ASSERT_NEAR(to_float(layer.keys[at]),
                    rotated[static_cast<std::size_t>(row * width + q_dim + i)], bound);
        ASSERT_EQ(to_float(layer.values[at]),
                  to_float(from_float<T>(
                      qkv[static_cast<std::size_t>(row * width + q_dim + kv_dim + i)])));
      }
    }
    EXPECT_EQ(
        std::count_if(layer.keys.begin(), layer.keys.end(), [](T x) { return to_float(x) == 42; }),
        (Layer<T>::kCapacity - kRows) * kv_dim);
  }
}

TYPED_TEST(CudaElementwise, AppendSplitsRowsIntoHeadsAtThePosition) {
  using T = TypeParam;
  constexpr std::int64_t kRows = 7;
  constexpr std::int64_t kPosition = 33;
  Layer<T> layer(14);
  const std::int64_t kv_dim = Layer<T>::kKvHeads * 14;
  const std::vector<T> k = this->random(kRows * kv_dim, 1);
  const std::vector<T> v = this->random(kRows * kv_dim, 2);
  const AppendArgs args{k.data(), v.data(), layer.view(), kPosition, kRows, Layer<T>::kKvHeads, 14};
  run_grid(append_grid(args), [&](const BlockId& block, void*) { append_block<T>(args, block); });
  std::vector<T> keys(layer.keys.size(), from_float<T>(42));
  std::vector<T> values = keys;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < kv_dim; ++i) {
      const auto to =
          static_cast<std::size_t>((i / 14 * Layer<T>::kCapacity + kPosition + row) * 14 + i % 14);
      keys[to] = k[static_cast<std::size_t>(row * kv_dim + i)];
      values[to] = v[static_cast<std::size_t>(row * kv_dim + i)];
    }
  }
  EXPECT_EQ(widened(layer.keys), widened(keys));
  EXPECT_EQ(widened(layer.values), widened(values));
}

TEST(CudaAtPosition, ThePositionIsWhatLiesOnTheDeviceIfItLiesThere) {
  const std::int64_t position = 77;
  const auto check = [&](auto args) {
    args.position = 3;
    EXPECT_EQ(at_position(args).position, 3);
    args.position_at = &position;
    EXPECT_EQ(at_position(args).position, 77);
  };
  check(AnglesArgs{});
  check(RopeArgs{});
  check(AppendArgs{});
}

TYPED_TEST(CudaElementwise, SoftmaxIsCausalAndTheCpus) {
  using T = TypeParam;
  constexpr std::int64_t kHeads = 3;
  struct Case {
    std::int64_t rows, context, position;
  };
  for (const auto& [rows, context, position] :
       {Case{1, 1, 0}, Case{5, 9, 4}, Case{1, 700, 699}, Case{6, 600, 500}}) {
    std::vector<float> scores = airlock::testing::random_floats(kHeads * rows * context, 8, 4);
    std::vector<float> expected = scores;
    std::vector<T> weights(scores.size(), from_float<T>(42));
    SoftmaxArgs args;
    args.scores = scores.data();
    args.weights = std::is_same_v<T, float> ? static_cast<void*>(scores.data()) : weights.data();
    args.heads = kHeads;
    args.rows = rows;
    args.context = context;
    args.position = position;
    args.scale = 0.25F;
    run_grid(softmax_grid(args), [&](const BlockId& block, void* shared) {
      softmax_block<T>(args, block, static_cast<float*>(shared));
    });
    causal_softmax(airlock::testing::tensor_at(expected.data(), {kHeads, rows, context}), position,
                   args.scale);
    const std::vector<float> got = std::is_same_v<T, float> ? scores : widened(weights);
    for (std::size_t i = 0; i < got.size(); ++i) {
      // Scores up to 20 lose 2^-24 of themselves before exp; a sum of at most 700 terms.
      const double bound = (this->unit() + (20 + 700) * 0x1p-24) * expected[i] + 0x1p-25;
      ASSERT_NEAR(got[i], expected[i], bound) << i;
    }
  }
}

}  // namespace
}  // namespace airlock::cuda::testing::elementwise_test
