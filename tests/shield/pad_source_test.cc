// One contract for every source of pads.
#include "airlock/shield/pad_source.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/threads.h"

#include "tests/shield/ring_support.h"

namespace airlock::pad_source_test {
namespace {

using testing::error_of;
using testing::PlainInt8;
using testing::PlainWorker;
using testing::ring_checkpoint;

constexpr std::int64_t kMemory = std::int64_t{6} << 20;

struct Kind {
  std::string name;
  LatticeParameters lattice = {};
};
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

const RingModel& ring_model() {
  static const RingModel model(ring_checkpoint().checkpoint(), {});
  return model;
}

/// A row of a pad in full.
struct Row {
  std::vector<std::uint32_t> input;
  std::vector<std::uint32_t> outputs[kMaxTensors];
};

void append_rows(std::vector<Row>& rows, const PadSegment& segment, const RingGroup& group) {
  const auto first = rows.size();
  rows.resize(first + static_cast<std::size_t>(segment.rows));
  const auto read = [&](const PolynomialTable* table, const std::uint32_t* stored,
                        std::int64_t stride, std::int64_t columns, auto&& into) {
    std::vector<std::uint32_t> tile;
    if (stored == nullptr) {
      const auto& [degree, rank] = table->parameters();
      const std::int64_t blocks = (columns + kLatticeBlock - 1) / kLatticeBlock;
      stride = blocks * kLatticeBlock;
      tile.resize(static_cast<std::size_t>(degree * stride));
      lattice_tile(*table, 0, blocks,
                   {segment.secret, static_cast<std::size_t>(table->parameters().rows())},
                   tile.data(), stride);
      stored = tile.data();
      EXPECT_LE(segment.rows, degree);
    }
    for (std::int64_t row = 0; row < segment.rows; ++row) {
      const std::uint32_t* const from = stored + row * stride;
      into(rows[first + static_cast<std::size_t>(row)]).assign(from, from + columns);
    }
  };
  read(
      segment.table, segment.input, segment.input_stride, group.in,
      [](Row & row) -> auto& { return row.input; });
  for (int k = 0; k < group.weights.size(); ++k) {
    const std::int64_t out = weight_shape(ring_checkpoint().config(), group.weights[k])[0];
    read(
        segment.hints[k], segment.output[k], segment.output_stride[k],
        out, [k](Row & row) -> auto& { return row.outputs[k]; });
  }
}

std::vector<Row> rows_of(const Pad& pad, int group) {
  std::vector<Row> rows;
  for (const PadSegment& segment : pad.segments()) {
    append_rows(rows, segment, ring_model().groups()[static_cast<std::size_t>(group)]);
  }
  return rows;
}

class PadSources : public ::testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<PadSource> make(const PadOptions& given) {
    PadOptions options = given;
    options.lattice = GetParam().lattice;
    if (GetParam().name == "dealer") return make_dealer_pads(ring_model(), worker, options);
    if (GetParam().name == "local") {
      return make_local_pads(ring_model(), ring_checkpoint().checkpoint(), options);
    }
    if (kept_hints) options.hint_cache = hints_folder();
    options.fingerprint.fill(0x17);
    return make_lattice_pads(ring_model(), worker, options);
  }
  std::unique_ptr<PadSource> make(std::int64_t memory) {
    PadOptions options;
    options.memory = memory;
    return make(options);
  }
  [[nodiscard]] bool lattice() const { return GetParam().name.starts_with("lattice"); }

  PlainWorker worker{ring_checkpoint()};
  bool kept_hints = true;  ///< from the disk: fetched once for all tests

 private:
  static const std::filesystem::path& hints_folder() {
    static const testing::TempDir folder;
    return folder.path();
  }
};

/// (x + r) W^T - r W^T is x W^T, in integers, for every row.
void expect_unmasks(const std::vector<Row>& rows, int index) {
  const RingGroup& group = ring_model().groups()[static_cast<std::size_t>(index)];
  std::mt19937 random(99);
  for (const Row& row : rows) {
    std::vector<std::int32_t> x;
    std::vector<std::uint32_t> masked;
    for (const std::uint32_t r : row.input) {
      ASSERT_LT(r, kFieldPrime);
      x.push_back(static_cast<std::int32_t>(random() % 2001) - 1000);
      masked.push_back(field_add(to_field(x.back()), r));
    }
    for (int k = 0; k < group.weights.size(); ++k) {
      const PlainInt8& matrix = ring_checkpoint().matrix(group.layer, group.weights[k]);
      for (std::int64_t m = 0; m < matrix.out; ++m) {
        std::int64_t expected = 0;
        for (std::int64_t i = 0; i < matrix.in; ++i) {
          expected += std::int64_t{matrix.q[static_cast<std::size_t>(m * matrix.in + i)]} *
                      x[static_cast<std::size_t>(i)];
        }
        const std::uint32_t pad = row.outputs[k][static_cast<std::size_t>(m)];
        ASSERT_LT(pad, kFieldPrime);
        const std::uint32_t y = field_sub(matrix.product(masked.data(), m), pad);
        ASSERT_EQ(from_field(y), expected)
            << weight_name(group.weights[k]) << " of layer " << group.layer << ", output " << m;
      }
    }
  }
}

TEST_P(PadSources, UnmaskEveryGroupExactly) {
  const auto source = make(kMemory);
  for (int group = 0; group < std::ssize(ring_model().groups()); ++group) {
    for (const std::int64_t count : {1, 3, 70}) {
      const Pad pad = source->take(group, count);
      ASSERT_EQ(pad.rows(), count);
      expect_unmasks(rows_of(pad, group), group);
    }
  }
}

TEST_P(PadSources, UnmaskManyRowsHoweverMuchMemoryThereIs) {
  const std::int64_t degree = GetParam().lattice.degree;
  for (const std::int64_t memory : {std::int64_t{0}, std::int64_t{20'000}, kMemory}) {
    SCOPED_TRACE(memory);
    const auto source = make(memory);
    for (const std::int64_t count : {degree / 2 - 1, degree / 2, degree + 70, 2 * degree}) {
      const Pad pad = source->take(3, count);
      ASSERT_EQ(pad.rows(), count);
      const std::vector<Row> rows = rows_of(pad, 3);
      ASSERT_EQ(std::ssize(rows), count);
      expect_unmasks(rows, 3);
    }
  }
}

TEST_P(PadSources, NoTwoPadsShareARow) {
  const auto source = make(std::int64_t{700'000});  // not enough for all of a secret's rows
  std::set<std::vector<std::uint32_t>> seen;
  std::int64_t count = 0;
  for (int round = 0; round < 12; ++round) {
    for (const int group : {0, 2, 4}) {
      const std::int64_t wanted = 1 + 40 * ((round * 7 + group) % 5) + (round == 5 ? 600 : 0);
      for (const Row& row : rows_of(source->take(group, wanted), group)) {
        seen.insert({row.input.begin(), row.input.begin() + 20});
      }
      count += wanted;
    }
    if (round == 8) source->fill(100, {});
  }
  EXPECT_EQ(std::ssize(seen), count);
  EXPECT_EQ(source->stats().rows_used, count);
}

TEST_P(PadSources, TwoSourcesShareNothingUnlessATestSaysSo) {
  const auto first_rows = [&](const PadOptions& options) {
    return rows_of(make(options)->take(1, 40), 1)[7].input;
  };
  PadOptions options;
  options.memory = kMemory;
  EXPECT_NE(first_rows(options), first_rows(options));
  options.test_key = FieldSeed{1, 2, 3};
  const auto keyed = first_rows(options);
  EXPECT_EQ(first_rows(options), keyed);
  set_threads(1);
  EXPECT_EQ(first_rows(options), keyed);
  set_threads(0);
  options.test_key = FieldSeed{1, 2, 4};
  EXPECT_NE(first_rows(options), keyed);
}

TEST_P(PadSources, LookUniform) {
  const auto source = make(kMemory);
  // 300 rows of 91 columns in 16 cells: chi-square of 15 degrees of freedom passes 60 once in 2e6.
  std::vector<double> cells(16);
  const auto rows = rows_of(source->take(3, 300), 3);
  for (const Row& row : rows) {
    for (const std::uint32_t value : row.input) {
      cells[static_cast<std::size_t>(std::uint64_t{value} * 16 / kFieldPrime)] += 1;
    }
  }
  const double expected = 300.0 * 91 / 16;
  double square = 0;
  for (const double cell : cells) square += (cell - expected) * (cell - expected) / expected;
  EXPECT_LT(square, 60);
}

TEST_P(PadSources, CountsRowsAndPreparedBytes) {
  kept_hints = false;
  const auto source = make(kMemory);
  const PadStats before = source->stats();
  EXPECT_EQ(before.rows_used, 0);
  EXPECT_EQ(before.rows_made, 0);
  {
    const Pad one = source->take(0, 1);
    const Pad many = source->take(5, 1000);
  }
  const PadStats after = source->stats();
  EXPECT_EQ(after.rows_used, 1001);
  EXPECT_GE(after.rows_made, after.rows_used);
  EXPECT_EQ(after.prepared_sent, worker.sent);
  EXPECT_EQ(after.prepared_received, worker.received);
  EXPECT_GT(after.make_ms, 0);
  if (GetParam().name == "dealer") {
    EXPECT_EQ(after.prepared_sent, 32 * worker.calls);
    const auto& groups = ring_model().groups();
    EXPECT_EQ(after.prepared_received, 4 * (64 * groups[0].out + 1000 * groups[5].out) +
                                           4 * (after.rows_made - 1064) * groups[5].out);
  }
  if (lattice()) {
    const HintBytes bytes = hint_bytes(ring_checkpoint().config(), true, GetParam().lattice);
    EXPECT_EQ(after.prepared_sent, bytes.sent);
    EXPECT_EQ(after.prepared_received, bytes.received);
    EXPECT_EQ(worker.calls, bytes.calls);
    EXPECT_EQ(before.prepared_received, bytes.received);
  }
  if (GetParam().name == "local") {
    EXPECT_EQ(worker.calls, 0);
  }
  EXPECT_EQ(source->needs_noise(), lattice());
}

TEST_P(PadSources, FillsItsMemoryAndNoMore) {
  std::int64_t row_bytes = 0;
  for (const RingGroup& group : ring_model().groups()) row_bytes += 4 * (group.in + group.out);
  const auto some = make(kMemory);
  EXPECT_EQ(some->rows_ready(), 0);
  some->fill(100, {});
  EXPECT_GE(some->rows_ready(), 100);
  const auto source = make(kMemory);
  std::vector<std::int64_t> done;
  std::int64_t all = 0;
  source->fill(1 << 20, [&](std::int64_t rows, std::int64_t total) {
    done.push_back(rows);
    all = total;
  });
  const std::int64_t ready = source->rows_ready();
  EXPECT_LE(ready * row_bytes, kMemory);
  EXPECT_GE(ready * row_bytes, kMemory / 2);  // strides are wider than rows
  ASSERT_FALSE(done.empty());
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(done.back(), all);
  EXPECT_EQ(all, ready * std::ssize(ring_model().groups()));
  source->fill(1 << 20, [](std::int64_t, std::int64_t) { FAIL() << "memory is full"; });
  const auto nothing = make(0);
  nothing->fill(10, {});
  EXPECT_EQ(nothing->rows_ready(), 0);
}

TEST_P(PadSources, RowsMadeAheadAreUsedFirst) {
  const auto source = make(kMemory);
  source->fill(600, {});
  ASSERT_GE(source->rows_ready(), 600);
  const PadStats before = source->stats();
  for (int group = 0; group < std::ssize(ring_model().groups()); ++group) {
    const Pad pad = source->take(group, 600);
    for (const PadSegment& segment : pad.segments()) EXPECT_EQ(segment.secret, nullptr);
    if (group == 7) expect_unmasks(rows_of(pad, group), group);
  }
  EXPECT_EQ(source->stats().rows_made, before.rows_made);
  EXPECT_EQ(source->stats().make_ms, before.make_ms);
}

TEST_P(PadSources, PadsUnderWayKeepTheirRows) {
  const auto source = make(std::int64_t{300'000});
  std::vector<Pad> pads;
  for (int i = 0; i < 30; ++i) pads.push_back(source->take(1, 20));
  std::set<std::vector<std::uint32_t>> seen;
  for (const Pad& pad : pads) {
    const auto rows = rows_of(pad, 1);
    expect_unmasks(rows, 1);
    for (const Row& row : rows) seen.insert(row.input);
  }
  EXPECT_EQ(seen.size(), 600U);
}

TEST_P(PadSources, WipeWhatWasUsed) {
  const auto source = make(kMemory);
  source->fill(64, {});  // so that the batch lives on
  for (const std::int64_t count : {8, 2000}) {
    std::vector<std::span<const std::uint32_t>> secrets;
    std::vector<std::span<const std::uint32_t>> stored;
    const Pad held = source->take(2, 1);
    {
      const Pad pad = source->take(2, count);
      for (const PadSegment& segment : pad.segments()) {
        if (segment.secret != nullptr) {
          secrets.emplace_back(segment.secret, static_cast<std::size_t>(GetParam().lattice.rows()));
        } else if (stored.empty()) {
          stored.emplace_back(segment.input, 40);  // a batch that `held` keeps
          stored.emplace_back(segment.output[0], 91);
        }
      }
      for (const auto& values : secrets) EXPECT_NE(values[5], 0U);
    }
    for (const auto& memory : {secrets, stored}) {
      for (const auto& values : memory) {
        EXPECT_TRUE(std::ranges::all_of(values, [](std::uint32_t value) { return value == 0; }));
      }
    }
    EXPECT_FALSE(secrets.empty() && stored.empty());
  }
}

TEST_P(PadSources, StopBetweenBatches) {
  const StopSource stop;
  PadOptions options;
  options.memory = kMemory;
  options.stop = stop.token();
  const auto source = make(options);
  stop.request_stop();
  EXPECT_EQ(error_of([&] { source->fill(10, {}); }).first, ErrorCode::kInterrupted);
}

TEST_P(PadSources, RefuseGroupsAndRowsThatAreNone) {
  const auto source = make(kMemory);
  for (const auto& [group, rows] : {std::pair{-1, 1}, {9, 1}, {0, 0}, {0, -5}}) {
    EXPECT_EQ(error_of([&] { (void)source->take(group, rows); }).first, ErrorCode::kInternal);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PadSources,
                         ::testing::Values(Kind{"lattice", {512, 3}},
                                           Kind{"lattice_1024", {1024, 2}},
                                           Kind{"lattice_256", {256, 6}}, Kind{"dealer"},
                                           Kind{"local"}),
                         [](const auto& kind) { return kind.param.name; });

TEST(DealerPads, EverySeedIsFresh) {
  PlainWorker dealer(ring_checkpoint());
  PadOptions options;
  options.memory = kMemory;
  const auto source = make_dealer_pads(ring_model(), dealer, options);
  for (int i = 0; i < 20; ++i) (void)source->take(i % 9, 64);
  ASSERT_EQ(dealer.seeds.size(), 20U);
  EXPECT_EQ(std::set<FieldSeed>(dealer.seeds.begin(), dealer.seeds.end()).size(), 20U);
}

TEST(DealerPads, WhatADealerThatIsGoneLeftIsNeverUsed) {
  PlainWorker dealer(ring_checkpoint());
  PadOptions options;
  options.memory = kMemory;
  const auto source = make_dealer_pads(ring_model(), dealer, options);
  dealer.tamper = [&](const Call&, std::span<const Tensor>) {
    fail(ErrorCode::kConnectionLost, "the dealer is gone");
  };
  EXPECT_EQ(error_of([&] { (void)source->take(0, 3); }).first, ErrorCode::kConnectionLost);
  dealer.tamper = {};
  expect_unmasks(rows_of(source->take(0, 3), 0), 0);
  ASSERT_EQ(dealer.seeds.size(), 2U);
  EXPECT_NE(dealer.seeds[0], dealer.seeds[1]);
}

TEST(DealerPads, ElementsPastThePrimeAreReduced) {
  PlainWorker dealer(ring_checkpoint());
  dealer.tamper = [](const Call&, std::span<const Tensor> outputs) {
    for (const Tensor& output : outputs) {
      auto* const values = output.as<std::uint32_t>();
      for (std::int64_t i = 0; i < output.spec.shape.elements(); ++i) values[i] += kFieldPrime;
    }
  };
  PadOptions options;
  options.memory = kMemory;
  const auto source = make_dealer_pads(ring_model(), dealer, options);
  expect_unmasks(rows_of(source->take(0, 3), 0), 0);
}

}  // namespace
}  // namespace airlock::pad_source_test
