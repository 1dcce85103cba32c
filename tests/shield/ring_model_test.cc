#include "airlock/shield/ring_model.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/threads.h"
#include "airlock/math/field.h"

#include "tests/model/support.h"
#include "tests/shield/ring_support.h"

namespace airlock::ring_model_test {
namespace {

using testing::error_of;
using testing::PlainInt8;
using testing::ring_checkpoint;
using testing::RingCheckpoint;

std::vector<std::uint32_t> elements(const Buffer& buffer) {
  const auto* const first = buffer.as<std::uint32_t>();
  return {first, first + buffer.size() / sizeof(std::uint32_t)};
}

/// Every matrix is what the checkpoint says, and its keys fit one another.
void expect_right(const RingModel& model, const RingCheckpoint& source) {
  for (const auto& [place, matrix] : source.matrices()) {
    const auto [layer, weight] = place;
    if (model.groups().back().layer != kNoLayer && layer == kNoLayer) continue;
    const RingProduct& product = model.product(layer, weight);
    SCOPED_TRACE(tensor_name(weight, layer));
    EXPECT_EQ(product.weight, weight);
    EXPECT_EQ(product.layer, layer);
    ASSERT_EQ(product.in, matrix.in);
    ASSERT_EQ(product.out, matrix.out);
    std::int64_t largest = 0;
    for (std::int64_t m = 0; m < matrix.out; ++m) {
      std::int64_t square = 0;
      for (std::int64_t i = 0; i < matrix.in; ++i) {
        const int q = matrix.q[static_cast<std::size_t>(m * matrix.in + i)];
        square += q * q;
      }
      largest = std::max(largest, square);
      EXPECT_EQ(product.scales.as<float>()[m], matrix.scales[static_cast<std::size_t>(m)]);
    }
    EXPECT_EQ(product.max_norm, std::sqrt(static_cast<double>(largest)));
    const auto keys = elements(product.keys);
    const auto products = elements(product.key_products);
    ASSERT_EQ(std::ssize(keys), model.checks() * matrix.out);
    ASSERT_EQ(std::ssize(products), model.checks() * matrix.in);
    for (const std::uint32_t key : keys) EXPECT_LT(key, kFieldPrime);
    for (int check = 0; check < model.checks(); ++check) {
      for (std::int64_t i = 0; i < matrix.in; ++i) {
        std::uint32_t sum = 0;
        for (std::int64_t m = 0; m < matrix.out; ++m) {
          const auto q = to_field(matrix.q[static_cast<std::size_t>(m * matrix.in + i)]);
          const auto key = keys[static_cast<std::size_t>(check * matrix.out + m)];
          sum = field_add(sum, field_mul(q, key));
        }
        ASSERT_EQ(products[static_cast<std::size_t>(check * matrix.in + i)], sum);
      }
    }
  }
}

TEST(RingGroups, AreProductsOfTheSameRows) {
  const ModelConfig& config = ring_checkpoint().config();
  const auto groups = ring_groups(config, true);
  ASSERT_EQ(groups.size(), 9U);
  EXPECT_EQ(groups[0].weights, (Weights{Weight::kQ, Weight::kK, Weight::kV}));
  EXPECT_EQ(groups[1].weights, (Weights{Weight::kO}));
  EXPECT_EQ(groups[6].weights, (Weights{Weight::kGate, Weight::kUp}));
  EXPECT_EQ(groups[7].weights, (Weights{Weight::kDown}));
  EXPECT_EQ(groups[8].weights, (Weights{Weight::kLmHead}));
  EXPECT_EQ(groups[8].layer, kNoLayer);
  EXPECT_EQ(groups[4].layer, 1);
  EXPECT_EQ(groups[0].in, config.hidden);
  EXPECT_EQ(groups[0].out, config.q_dim() + 2 * config.kv_dim());
  EXPECT_EQ(groups[7].in, config.ffn);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    EXPECT_EQ(ring_group_of(config, groups[i].layer, groups[i].weights[0]), static_cast<int>(i));
  }
  EXPECT_EQ(ring_groups(config, false).size(), 8U);
  EXPECT_EQ(error_of([&] { (void)ring_group_of(config, 0, Weight::kK); }).first,
            ErrorCode::kInternal);
  EXPECT_EQ(error_of([&] { (void)ring_group_of(config, 2, Weight::kQ); }).first,
            ErrorCode::kInternal);
}

TEST(RingModel, IsWhatTheCheckpointSays) {
  for (const int checks : {0, 1, 2}) {
    SCOPED_TRACE(checks);
    RingModelOptions options;
    options.checks = checks;
    expect_right(RingModel(ring_checkpoint().checkpoint(), options), ring_checkpoint());
  }
}

TEST(RingModel, ThreadsChangeNothingThatIsPublic) {
  for (const int count : {1, 2, 5}) {
    set_threads(count);
    RingModelOptions options;
    options.checks = 2;
    const RingModel model(ring_checkpoint().checkpoint(), options);
    set_threads(0);
    expect_right(model, ring_checkpoint());
  }
}

TEST(RingModel, TheHeadOfATiedModelIsItsEmbedding) {
  const RingCheckpoint tied(3, true);
  const RingModel model(tied.checkpoint(), {});
  expect_right(model, tied);
  const PlainInt8 embedding(tied.checkpoint(), Weight::kEmbedding, kNoLayer);
  const float* const scales = model.product(kNoLayer, Weight::kLmHead).scales.as<float>();
  EXPECT_TRUE(std::ranges::equal(embedding.scales, std::span(scales, embedding.scales.size())));
}

TEST(RingModel, WithoutTheHeadHasNone) {
  RingModelOptions options;
  options.lm_head = false;
  const RingModel model(ring_checkpoint().checkpoint(), options);
  expect_right(model, ring_checkpoint());
  EXPECT_EQ(error_of([&] { (void)model.product(kNoLayer, Weight::kLmHead); }).first,
            ErrorCode::kInternal);
  EXPECT_EQ(error_of([&] { (void)model.product(2, Weight::kQ); }).first, ErrorCode::kInternal);
  EXPECT_EQ(error_of([&] { (void)model.product(0, Weight::kInputNorm); }).first,
            ErrorCode::kInternal);
}

TEST(RingModel, NoTwoKeysAreAlike) {
  RingModelOptions options;
  options.checks = 2;
  RingModel model(ring_checkpoint().checkpoint(), options);
  std::set<std::vector<std::uint32_t>> seen;
  std::size_t count = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto& [place, matrix] : ring_checkpoint().matrices()) {
      const auto keys = elements(model.product(place.first, place.second).keys);
      const auto half = keys.begin() + matrix.out;
      seen.emplace(keys.begin(), half);
      seen.emplace(half, keys.end());
      count += 2;
    }
    model.renew_keys();
  }
  EXPECT_EQ(seen.size(), count);
  expect_right(model, ring_checkpoint());
}

TEST(RingModel, ProgressEndsWithAllBytes) {
  std::vector<std::int64_t> done;
  std::int64_t all = 0;
  RingModelOptions options;
  options.progress = [&](std::int64_t bytes, std::int64_t total) {
    done.push_back(bytes);
    all = total;
  };
  const RingModel model(ring_checkpoint().checkpoint(), options);
  EXPECT_TRUE(std::ranges::is_sorted(done));
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), all);
  std::int64_t bytes = 0;
  for (const auto& [place, matrix] : ring_checkpoint().matrices())
    bytes += 2 * matrix.in * matrix.out;
  EXPECT_EQ(all, bytes);
}

TEST(RingModel, AStoppedRenewalKeepsTheOldKeys) {
  const StopSource stop;
  RingModelOptions options;
  options.stop = stop.token();
  RingModel model(ring_checkpoint().checkpoint(), options);
  const auto before = elements(model.product(1, Weight::kDown).keys);
  stop.request_stop();
  EXPECT_EQ(error_of([&] { model.renew_keys(); }).first, ErrorCode::kInterrupted);
  EXPECT_EQ(elements(model.product(1, Weight::kDown).keys), before);
  expect_right(model, ring_checkpoint());
  EXPECT_EQ(error_of([&] { const RingModel m(ring_checkpoint().checkpoint(), options); }).first,
            ErrorCode::kInterrupted);
}

TEST(RingModel, AWeightThatIsNoNumberIsNamed) {
  const ModelConfig config = testing::least_config();
  auto tensors = testing::raw_tensors(config);
  const std::string name = tensor_name(Weight::kUp, 0);
  std::string& data = testing::find_raw(tensors, name).data;
  data[6] = static_cast<char>(0xc0);  // a NaN in bf16
  data[7] = 0x7f;
  const testing::TempDir dir;
  testing::write_checkpoint(dir / "model", config, tensors);
  const auto checkpoint = Checkpoint::open(dir / "model");
  const auto [code, text] = error_of([&] { const RingModel model(*checkpoint, {}); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(text, ::testing::HasSubstr(name));
}

TEST(RingModel, RefusesOtherNumbersOfChecks) {
  for (const int checks : {-1, 3}) {
    RingModelOptions options;
    options.checks = checks;
    EXPECT_EQ(error_of([&] { const RingModel m(ring_checkpoint().checkpoint(), options); }).first,
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace airlock::ring_model_test
