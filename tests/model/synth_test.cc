#include "airlock/model/synth.h"

#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "airlock/core/stop.h"
#include "airlock/core/threads.h"
#include "airlock/model/fingerprint.h"
#include "airlock/model/synth_random.h"
#include "airlock/model/tokenizer.h"
#include "airlock/model/tokenizer_synth.h"

#include "tests/model/support.h"

namespace airlock::synth_test {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::read_file;
using testing::TempDir;
using testing::write_file;

std::set<std::string> names_in(const std::filesystem::path& dir) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

ModelConfig tiny() {
  return *find_preset("tiny");
}

/// tiny with an embedding of several pieces of a MiB, the last one not full.
ModelConfig wide() {
  ModelConfig config = tiny();
  config.vocab = 20011;
  config.tie_embeddings = false;
  return config;
}

TEST(Synthesize, WritesACheckpointThatOpensWithTheSameConfig) {
  const TempDir dir;
  synthesize(tiny(), dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_EQ(checkpoint->config(), tiny());
  EXPECT_EQ(names_in(dir.path()),
            (std::set<std::string>{"airlock-synth.json", "config.json", "generation_config.json",
                                   "model.safetensors"}));
  for (const TensorEntry& entry : TensorTable(tiny())) {
    EXPECT_EQ(checkpoint->spec(entry.weight, entry.layer), (TensorSpec{DType::kBF16, entry.shape}));
  }
}

TEST(Synthesize, GivesTheSameBytesForASeedOnAnyNumberOfThreads) {
  const TempDir dir;
  set_threads(1);
  synthesize(wide(), dir / "one", {.seed = 7});
  set_threads(2);
  synthesize(wide(), dir / "two", {.seed = 7});
  set_threads(0);
  synthesize(wide(), dir / "other", {.seed = 8});
  const std::string one = read_file(dir / "one/model.safetensors");
  EXPECT_EQ(one, read_file(dir / "two/model.safetensors"));
  EXPECT_EQ(one.size(), read_file(dir / "other/model.safetensors").size());
  EXPECT_NE(one, read_file(dir / "other/model.safetensors"));
  EXPECT_EQ(read_file(dir / "one/config.json"), read_file(dir / "two/config.json"));
}

TEST(Synthesize, GivesTheBytesOfEarlierVersions) {
  const TempDir dir;
  synthesize(tiny(), dir.path());
  EXPECT_EQ(to_hex(compute_fingerprint(*Checkpoint::open(dir.path()))),
            "3fd07ceb801ffd0b037a0dbbd50e911f6c8585e5a531539925fb93a81b54751d");
}

TEST(Synthesize, GivesTheSameTensorsInShards) {
  const TempDir dir;
  synthesize(wide(), dir / "one");
  synthesize(wide(), dir / "many", {.shard_bytes = 100'000});
  const auto one = Checkpoint::open(dir / "one");
  const auto many = Checkpoint::open(dir / "many");
  EXPECT_GT(many->files().size(), 3U);
  EXPECT_EQ(compute_fingerprint(*one), compute_fingerprint(*many));
  for (const CheckpointFile& file : many->files()) {
    EXPECT_TRUE(file.bytes <= 110'000 || file.tensors == 1) << file.name;
  }
}

TEST(Synthesize, StoresEveryFloatDTypeAndSaysSoInTheConfig) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const TempDir dir;
    synthesize(tiny(), dir.path(), {.dtype = dtype});
    const auto checkpoint = Checkpoint::open(dir.path());
    EXPECT_EQ(checkpoint->config().dtype, dtype);
    EXPECT_EQ(checkpoint->spec(Weight::kDown, 1).dtype, dtype);
  }
  const TempDir dir;
  EXPECT_EQ(error_of([&] { synthesize(tiny(), dir / "x", {.dtype = DType::kI8}); }).first,
            ErrorCode::kInvalidArgument);
  EXPECT_TRUE(names_in(dir.path()).empty());
}

struct Moments {
  double mean = 0;
  double deviation = 0;
};

Moments moments(const std::vector<float>& values) {
  Moments result;
  for (const float value : values) result.mean += value;
  result.mean /= static_cast<double>(values.size());
  for (const float value : values) result.deviation += std::pow(value - result.mean, 2);
  result.deviation = std::sqrt(result.deviation / static_cast<double>(values.size()));
  return result;
}

TEST(Synthesize, DrawsWeightsWithTheDeviationItPromises) {
  const TempDir dir;
  synthesize(wide(), dir.path(), {.dtype = DType::kF32});
  const auto checkpoint = Checkpoint::open(dir.path());
  for (const TensorEntry& entry : TensorTable(wide())) {
    const std::vector<float> values = checkpoint->load_f32(entry.weight, entry.layer);
    const bool norm = entry.shape.rank() == 1;
    const double inputs = static_cast<double>(entry.shape.columns());
    const double deviation = norm ? 0.05 : 1.0 / std::sqrt(inputs);
    const Moments found = moments(values);
    // Five standard errors of the mean, and of the deviation of a normal sample.
    const double n = static_cast<double>(values.size());
    EXPECT_NEAR(found.mean, norm ? 1.0 : 0.0, 5 * deviation / std::sqrt(n)) << entry.name();
    EXPECT_NEAR(found.deviation, deviation, 5 * deviation / std::sqrt(2 * n)) << entry.name();
  }
  // No two tensors of one shape share a stream.
  EXPECT_NE(checkpoint->load_f32(Weight::kQ, 0), checkpoint->load_f32(Weight::kQ, 1));
  EXPECT_NE(checkpoint->load_f32(Weight::kGate, 0), checkpoint->load_f32(Weight::kUp, 0));
}

TEST(Synthesize, WritesTheTokenizerItIsGivenAndThePresetsKnowItsTokens) {
  for (const std::string_view preset : {"tiny", "llama-3.2-1b"}) {
    ModelConfig config = tiny();
    config.vocab = find_preset(preset)->vocab;
    config.bos = find_preset(preset)->bos;
    config.eos = find_preset(preset)->eos;
    const TempDir dir;
    synthesize(config, dir.path(),
               {.tokenizer_json = make_byte_level_tokenizer_json(config.vocab)});
    const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(dir.path());
    EXPECT_EQ(tokenizer->vocab_size(), config.vocab);
    EXPECT_EQ(tokenizer->find_token("<|begin_of_text|>"), config.bos) << preset;
    EXPECT_THAT(config.eos, ElementsAre(*tokenizer->find_token("<|end_of_text|>"))) << preset;
  }
}

TEST(Synthesize, ReplacesItsOwnCheckpointAndNothingElse) {
  const TempDir dir;
  synthesize(wide(), dir / "m", {.tokenizer_json = "{}", .shard_bytes = 100'000});
  write_file(dir / "m/notes.txt", "mine");
  write_file(dir / "m/model-00001-of-00009.safetensors.partial", "of a killed run");
  synthesize(tiny(), dir / "m", {.seed = 1});
  EXPECT_EQ(names_in(dir / "m"),
            (std::set<std::string>{"airlock-synth.json", "config.json", "generation_config.json",
                                   "model.safetensors", "notes.txt"}));
  EXPECT_EQ(Checkpoint::open(dir / "m")->config(), tiny());

  std::filesystem::create_directory(dir / "foreign");
  write_file(dir / "foreign/config.json", config_to_json(tiny()));
  const auto [code, message] = error_of([&] { synthesize(tiny(), dir / "foreign"); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr("not a checkpoint made by airlock synth"));
  EXPECT_THAT(names_in(dir / "foreign"), ElementsAre("config.json"));

  write_file(dir / "file", "x");
  EXPECT_EQ(error_of([&] { synthesize(tiny(), dir / "file"); }).first, ErrorCode::kInvalidArgument);
}

TEST(Synthesize, LeavesNothingBehindWhenStopped) {
  const TempDir dir;
  const StopSource source;
  source.request_stop();
  EXPECT_EQ(error_of([&] { synthesize(tiny(), dir / "a/b", {.stop = source.token()}); }).first,
            ErrorCode::kInterrupted);
  EXPECT_FALSE(std::filesystem::exists(dir / "a/b"));

  const auto stop = [](std::int64_t, std::int64_t) { fail(ErrorCode::kTimeout, "enough"); };
  std::filesystem::create_directory(dir / "empty");
  EXPECT_EQ(error_of([&] { synthesize(tiny(), dir / "empty", {.progress = stop}); }).first,
            ErrorCode::kTimeout);
  EXPECT_TRUE(names_in(dir / "empty").empty());

  synthesize(tiny(), dir / "m");
  const std::string before = read_file(dir / "m/model.safetensors");
  EXPECT_EQ(error_of([&] { synthesize(wide(), dir / "m", {.progress = stop}); }).first,
            ErrorCode::kTimeout);
  EXPECT_EQ(Checkpoint::open(dir / "m")->config(), tiny()) << "the old one stays";
  EXPECT_EQ(read_file(dir / "m/model.safetensors"), before);
}

TEST(Synthesize, RefusesAFolderThatIsBeingWritten) {
  const TempDir dir;
  synthesize(tiny(), dir.path());
  const int fd = ::open((dir / "airlock-synth.json").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto [code, message] = error_of([&] { synthesize(tiny(), dir.path()); });
  ::close(fd);
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr("another airlock synth"));
  EXPECT_NO_THROW((void)Checkpoint::open(dir.path()));
}

TEST(Synthesize, WritesNothingThroughALinkThatSomebodyPutInItsPlace) {
  const TempDir dir;
  write_file(dir / "victim", "precious");
  for (const bool hard : {false, true}) {
    const auto folder = dir / (hard ? "hard" : "soft");
    std::filesystem::create_directory(folder);
    if (hard) {
      std::filesystem::create_hard_link(dir / "victim", folder / "airlock-synth.json");
    } else {
      std::filesystem::create_symlink(dir / "victim", folder / "airlock-synth.json");
    }
    const auto [code, message] = error_of([&] { synthesize(tiny(), folder); });
    EXPECT_EQ(code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(message, HasSubstr("airlock-synth.json: a link or no plain file"));
    EXPECT_EQ(read_file(dir / "victim"), "precious");
  }
  // A file's temporary name, taken before: removed, not followed.
  synthesize(tiny(), dir / "m");
  std::filesystem::create_symlink(dir / "victim", dir / "m/model.safetensors.partial");
  synthesize(tiny(), dir / "m");
  EXPECT_EQ(read_file(dir / "victim"), "precious");
  EXPECT_FALSE(std::filesystem::is_symlink(dir / "m/model.safetensors"));
}

TEST(Synthesize, RefusesAModelThatTheDiskCannotHold) {
  ModelConfig config = tiny();
  config.ffn = 1 << 30;
  config.layers = 1000;  // 412 TB
  const TempDir dir;
  const auto [code, message] = error_of([&] { synthesize(config, dir / "m"); });
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_THAT(message, HasSubstr("the disk has"));
  EXPECT_FALSE(std::filesystem::exists(dir / "m"));
}

TEST(Synthesize, ReportsProgressUpToAllBytes) {
  const TempDir dir;
  std::int64_t last = 0;
  synthesize(tiny(), dir.path(), {.progress = [&](std::int64_t done, std::int64_t total) {
               EXPECT_GE(done, last);
               EXPECT_EQ(total, tiny().parameters() * 2);
               last = done;
             }});
  EXPECT_EQ(last, tiny().parameters() * 2);
}

TEST(NormalTable, FillsAnyPieceAsTheWholeStreamHasIt) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const NormalTable table(dtype, 0.0, 1.0);
    const std::size_t size = dtype_size(dtype);
    std::vector<std::byte> whole(1003 * size);
    table.fill(stream_key(3, "a"), 0, whole);
    for (const std::size_t first : {std::size_t{0}, std::size_t{4}, std::size_t{996}}) {
      for (const std::size_t count : {std::size_t{1}, std::size_t{3}, std::size_t{7}}) {
        std::vector<std::byte> piece(count * size);
        table.fill(stream_key(3, "a"), static_cast<std::int64_t>(first), piece);
        EXPECT_TRUE(std::equal(piece.begin(), piece.end(),
                               whole.begin() + static_cast<std::ptrdiff_t>(first * size)));
      }
    }
  }
}

TEST(NormalQuantile, InvertsTheDistributionFunction) {
  for (double p = 1.0 / 131072; p < 1.0; p += 1.0 / 4096) {
    const double back = 0.5 * std::erfc(-normal_quantile(p) / std::sqrt(2.0));
    // The approximation's relative error of 1.15e-9 times the largest x * density(x), 0.242.
    EXPECT_NEAR(back, p, 1.15e-9 * 0.242 + 1e-15);
  }
}

}  // namespace
}  // namespace airlock::synth_test
