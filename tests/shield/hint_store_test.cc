#include "airlock/shield/hint_store.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "airlock/shield/hint_cache.h"

#include "tests/shield/ring_support.h"

namespace airlock::hint_store_test {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::PlainInt8;
using testing::PlainWorker;
using testing::read_file;
using testing::ring_checkpoint;
using testing::TempDir;
using testing::write_file;

const RingModel& ring_model() {
  static const RingModel model(ring_checkpoint().checkpoint(), {});
  return model;
}

/// A folder for hints, a worker, and what a test asks of them.
struct Setting {
  TempDir dir;
  PadOptions options;
  PlainWorker worker{ring_checkpoint()};

  Setting() {
    options.fingerprint.fill(0xa5);
    options.hint_cache = dir / "hints";
  }
  LatticeHints load() {
    PadStats stats;
    LatticeHints hints = load_hints(ring_model(), worker, options, stats);
    EXPECT_EQ(stats.prepared_received, calls_before < worker.calls ? received() : 0);
    calls_before = worker.calls;
    return hints;
  }
  [[nodiscard]] std::int64_t received() const {
    return hint_bytes(ring_checkpoint().config(), true, options.lattice).received;
  }
  /// True if load() asks the worker.
  bool fetches() {
    const std::int64_t before = worker.calls;
    (void)load();
    return worker.calls > before;
  }
  [[nodiscard]] std::filesystem::path file() const {
    HintFile file;
    file.fingerprint = options.fingerprint;
    file.lattice = options.lattice;
    return options.hint_cache / file.name();
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    if (!std::filesystem::exists(options.hint_cache)) return names;
    for (const auto& entry : std::filesystem::directory_iterator(options.hint_cache)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  std::int64_t calls_before = 0;
};

bool same_tables(const LatticeHints& a, const LatticeHints& b) {
  bool same = std::ranges::equal(a.columns.span(), b.columns.span());
  for (std::size_t g = 0; g < a.outputs.size(); ++g) {
    for (std::size_t k = 0; k < kMaxTensors; ++k) {
      same &= std::ranges::equal(a.outputs[g][k].span(), b.outputs[g][k].span());
    }
  }
  return same;
}

TEST(Hints, AreThePublicMatrixTimesTheWeights) {
  Setting setting;
  const LatticeHints hints = setting.load();
  const FieldSeed seed = lattice_seed(setting.options.fingerprint, setting.options.lattice);
  const std::int64_t widest = hints.columns.columns();
  EXPECT_EQ(widest, 91);
  for (const std::int64_t row : {0, 1, 511, 512, 1535}) {
    std::vector<std::uint32_t> a(static_cast<std::size_t>(widest));
    expand_field_row(seed, static_cast<std::uint64_t>(row), a);
    const auto at = [&](const PolynomialTable& table, std::int64_t column) {
      return table.block(column / kLatticeBlock)[row * kLatticeBlock + column % kLatticeBlock];
    };
    for (std::int64_t c = 0; c < widest; ++c) {
      EXPECT_EQ(at(hints.columns, c), a[static_cast<std::size_t>(c)]);
    }
    const auto& groups = ring_model().groups();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (int k = 0; k < groups[g].weights.size(); ++k) {
        const PlainInt8& matrix = ring_checkpoint().matrix(groups[g].layer, groups[g].weights[k]);
        const PolynomialTable& table = hints.outputs[g][static_cast<std::size_t>(k)];
        ASSERT_EQ(table.columns(), matrix.out);
        for (std::int64_t m = 0; m < matrix.out; ++m) {
          ASSERT_EQ(at(table, m), matrix.product(a.data(), m));
        }
      }
    }
  }
}

TEST(Hints, ThePublicSeedIsFixedAndAModelsOwn) {
  Fingerprint one{};
  Fingerprint two{};
  two[31] = 1;
  // SHA-256 of "airlock-lattice-1 N512 r3 " and 64 zeros, from another implementation.
  const FieldSeed seed = lattice_seed(one, {512, 3});
  EXPECT_EQ(to_hex(seed), "f546f837880889998460c1ff6ad3b64b318e68a4be73c1f10b1fd3dc3e54452e");
  EXPECT_NE(seed, lattice_seed(two, {512, 3}));
  EXPECT_NE(seed, lattice_seed(one, {1024, 3}));
  EXPECT_NE(seed, lattice_seed(one, {512, 4}));
}

TEST(Hints, AreReadFromTheDiskTheSecondTime) {
  Setting setting;
  const LatticeHints fetched = setting.load();
  EXPECT_EQ(setting.files(), std::vector{setting.file().filename().string()});
  EXPECT_THAT(setting.file().string(), HasSubstr("a5a5a5-N512-r3.hints"));
  EXPECT_EQ(static_cast<std::int64_t>(std::filesystem::file_size(setting.file())),
            64 + setting.received());
  const std::int64_t calls = setting.worker.calls;
  const LatticeHints read = setting.load();
  EXPECT_EQ(setting.worker.calls, calls);
  EXPECT_TRUE(same_tables(fetched, read));
}

TEST(Hints, DamagedTruncatedOrAnotherModelsAreFetchedAgain) {
  Setting setting;
  const LatticeHints good = setting.load();
  const std::string content = read_file(setting.file());
  std::vector<std::string> bad;
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{9}, std::size_t{13}, std::size_t{17}, std::size_t{40},
        std::size_t{64}, content.size() / 2, content.size() - 4}) {
    bad.push_back(content);
    bad.back()[at] = static_cast<char>(bad.back()[at] ^ 1);
  }
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{64}, content.size() - 1}) {
    bad.push_back(content.substr(0, size));
  }
  bad.push_back(content + 'x');
  bad.push_back(content.substr(0, 64) + std::string(content.size() - 64, '\xff'));
  for (const std::string& damaged : bad) {
    write_file(setting.file(), damaged);
    const std::int64_t calls = setting.worker.calls;
    EXPECT_TRUE(same_tables(setting.load(), good));
    EXPECT_GT(setting.worker.calls, calls);
    EXPECT_EQ(read_file(setting.file()), content);
  }
  EXPECT_FALSE(setting.fetches());
}

TEST(Hints, AFolderOrALinkToNowhereInTheirPlaceEndsNoRun) {
  Setting setting;
  std::filesystem::create_directories(setting.file() / "inside");
  EXPECT_TRUE(setting.fetches());
  EXPECT_TRUE(setting.fetches());  // it could not be replaced
  EXPECT_EQ(setting.files().size(), 1U);
  std::filesystem::remove_all(setting.options.hint_cache);
  std::filesystem::create_directories(setting.options.hint_cache);
  std::filesystem::create_symlink("/nowhere/at/all", setting.file());
  EXPECT_TRUE(setting.fetches());
  EXPECT_FALSE(setting.fetches());
}

TEST(Hints, OfOtherParametersLieBesideThem) {
  Setting setting;
  EXPECT_TRUE(setting.fetches());
  setting.options.lattice = {1024, 2};
  EXPECT_TRUE(setting.fetches());
  setting.options.fingerprint.fill(1);
  EXPECT_TRUE(setting.fetches());
  EXPECT_EQ(setting.files().size(), 3U);
  EXPECT_FALSE(setting.fetches());
  setting.options.fingerprint.fill(0xa5);
  setting.options.lattice = {512, 3};
  EXPECT_FALSE(setting.fetches());
}

TEST(Hints, WithoutAFolderNothingIsKept) {
  Setting setting;
  setting.options.hint_cache.clear();
  EXPECT_TRUE(setting.fetches());
  EXPECT_TRUE(setting.fetches());
  EXPECT_TRUE(std::filesystem::is_empty(setting.dir.path()));
}

TEST(Hints, AFolderThatCannotBeWrittenEndsNoRun) {
  Setting setting;
  write_file(setting.dir / "file", "");
  setting.options.hint_cache = setting.dir / "file" / "hints";
  EXPECT_TRUE(setting.fetches());
  setting.options.hint_cache = "/proc/airlock-hints";
  EXPECT_TRUE(setting.fetches());
}

TEST(Hints, WhatAKilledWriterLeftIsRemoved) {
  Setting setting;
  std::filesystem::create_directories(setting.options.hint_cache);
  const std::string name = setting.file().filename();
  const auto temporary = [&](std::int64_t process) {
    return fmt::format(".{}.{}.tmp", name, process);
  };
  const std::string others = temporary(::getppid());
  write_file(setting.options.hint_cache / temporary(2'000'000'000), "half of the hints");
  write_file(setting.options.hint_cache / others, "more to come");
  write_file(setting.options.hint_cache / "notes.tmp", "mine");
  EXPECT_TRUE(setting.fetches());
  EXPECT_THAT(setting.files(), ::testing::UnorderedElementsAre(name, others, "notes.tmp"));
}

TEST(Hints, ADiskThatFillsUpEndsNoRun) {
  Setting setting;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{static_cast<rlim_t>(setting.received() / 2), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const bool fetched = setting.fetches();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)std::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(fetched);
  EXPECT_TRUE(setting.files().empty());
  EXPECT_TRUE(setting.fetches());
  EXPECT_FALSE(setting.fetches());
}

TEST(Hints, AFalseOneIsRefusedAndNotKept) {
  struct Lie {
    int group;
    std::int64_t tensor;
    std::uint32_t add;
  };
  const auto groups = ring_model().groups();
  for (const Lie& lie : {Lie{0, 0, 1}, Lie{0, 2, kFieldPrime - 1}, Lie{3, 0, 1U << 30},
                         Lie{8, 0, 1}, Lie{6, 1, 2}}) {
    Setting setting;
    const RingGroup& group = groups[static_cast<std::size_t>(lie.group)];
    setting.worker.tamper = [&](const Call& call, std::span<const Tensor> outputs) {
      if (call.layer != group.layer || !(call.weights == group.weights)) return;
      const Tensor& output = outputs[static_cast<std::size_t>(lie.tensor)];
      std::uint32_t& value = output.as<std::uint32_t>()[output.spec.shape.elements() - 1];
      value = field_add(value, lie.add);
    };
    const auto [code, text] = error_of([&] { (void)setting.load(); });
    EXPECT_EQ(code, ErrorCode::kCheckFailed);
    const Weight weight = group.weights[static_cast<int>(lie.tensor)];
    EXPECT_THAT(text, HasSubstr(tensor_name(weight, group.layer)));
    EXPECT_THAT(text, HasSubstr("worker"));
    EXPECT_TRUE(setting.files().empty());
  }
}

TEST(Hints, SwappedRowsAndAnOldReplyAreRefused) {
  for (const bool swap : {false, true}) {
    Setting setting;
    std::vector<std::uint32_t> old;
    setting.worker.tamper = [&](const Call& call, std::span<const Tensor> outputs) {
      if (call.weights[0] != Weight::kDown) return;
      auto* const values = outputs[0].as<std::uint32_t>();
      const auto count = outputs[0].spec.shape.elements();
      if (swap) {
        std::swap_ranges(values, values + count / 2, values + count / 2);
      } else if (old.empty()) {
        old.assign(values, values + count);
      } else {
        std::ranges::copy(old, values);
      }
    };
    EXPECT_EQ(error_of([&] { (void)setting.load(); }).first, ErrorCode::kCheckFailed);
  }
}

TEST(Hints, ElementsPastThePrimeCountModuloIt) {
  Setting setting;
  const LatticeHints plain = setting.load();
  std::filesystem::remove_all(setting.options.hint_cache);
  setting.worker.tamper = [](const Call&, std::span<const Tensor> outputs) {
    for (const Tensor& output : outputs) {
      auto* const values = output.as<std::uint32_t>();
      for (std::int64_t i = 0; i < output.spec.shape.elements(); ++i) values[i] += kFieldPrime;
    }
  };
  EXPECT_TRUE(same_tables(setting.load(), plain));
}

TEST(Hints, ProgressIsToldAndAStopLeavesNothing) {
  Setting setting;
  const StopSource stop;
  setting.options.stop = stop.token();
  std::vector<std::int64_t> done;
  setting.options.hint_progress = [&](std::int64_t bytes, std::int64_t total) {
    EXPECT_EQ(total, setting.received());
    done.push_back(bytes);
  };
  EXPECT_TRUE(setting.fetches());
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(done.back(), setting.received());
  done.clear();
  EXPECT_FALSE(setting.fetches());
  EXPECT_EQ(done.back(), setting.received());

  std::filesystem::remove_all(setting.options.hint_cache);
  setting.worker.tamper = [&](const Call& call, std::span<const Tensor>) {
    if (call.layer == 1) stop.request_stop();
  };
  EXPECT_EQ(error_of([&] { (void)setting.load(); }).first, ErrorCode::kInterrupted);
  EXPECT_TRUE(setting.files().empty());
}

TEST(Hints, AWorkerWithOneLaneServesThem) {
  Setting setting;
  const LatticeHints plain = setting.load();
  PlainWorker single(ring_checkpoint(), 1);
  PadStats stats;
  setting.options.hint_cache.clear();
  EXPECT_TRUE(same_tables(load_hints(ring_model(), single, setting.options, stats), plain));
}

TEST(Hints, CallsAreBoundedAtEveryModelsSize) {
  const HintBytes bytes = hint_bytes(testing::llama_1b(), true, {512, 3});
  // 1536 rows of 16 * (2048 + 2 * 512 + 2048 + 2 * 8192 + 2048) + 128256 outputs.
  EXPECT_EQ(bytes.received, std::int64_t{1536} * 4 * (16 * 23552 + 128256));
  EXPECT_EQ(bytes.sent, 32 * bytes.calls);
  EXPECT_GE(bytes.calls * (std::int64_t{32} << 20), bytes.received);
  EXPECT_LT(bytes.calls, 200);
  const HintBytes layers = hint_bytes(testing::llama_1b(), false, {512, 3});
  EXPECT_EQ(bytes.received - layers.received, std::int64_t{1536} * 4 * 128256);
}

TEST(Hints, InsecureParametersAndAMissingCheckAreRefused) {
  Setting setting;
  setting.options.lattice = {512, 2};
  EXPECT_EQ(error_of([&] { (void)setting.load(); }).first, ErrorCode::kInvalidArgument);
  setting.options.lattice = {512, 3};
  RingModelOptions unchecked;
  unchecked.checks = 0;
  const RingModel model(ring_checkpoint().checkpoint(), unchecked);
  PadStats stats;
  EXPECT_EQ(
      error_of([&] { (void)load_hints(model, setting.worker, setting.options, stats); }).first,
      ErrorCode::kInvalidArgument);
}

TEST(Hints, WithoutTheHeadHaveAFileOfTheirOwn) {
  RingModelOptions layers;
  layers.lm_head = false;
  const RingModel model(ring_checkpoint().checkpoint(), layers);
  Setting setting;
  PadStats stats;
  (void)load_hints(model, setting.worker, setting.options, stats);
  EXPECT_EQ(stats.prepared_received,
            hint_bytes(ring_checkpoint().config(), false, setting.options.lattice).received);
  (void)setting.load();
  ASSERT_EQ(setting.files().size(), 2U);
}

}  // namespace
}  // namespace airlock::hint_store_test
