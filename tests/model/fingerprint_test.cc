#include "airlock/model/fingerprint.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/stop.h"
#include "airlock/core/threads.h"
#include "airlock/model/synth.h"

#include "tests/model/support.h"

namespace airlock::fingerprint_test {
namespace {

using testing::error_of;
using testing::find_raw;
using testing::least_config;
using testing::raw_tensors;
using testing::RawTensor;
using testing::TempDir;
using testing::write_checkpoint;

std::string fingerprint_of(const ModelConfig& config, const std::vector<RawTensor>& tensors) {
  const TempDir dir;
  write_checkpoint(dir.path(), config, tensors);
  return to_hex(compute_fingerprint(*Checkpoint::open(dir.path())));
}

TEST(Fingerprint, IsThatOfTheDefinition) {
  // By Python's hashlib over the text that fingerprint.h defines.
  EXPECT_EQ(fingerprint_of(least_config(), raw_tensors(least_config())),
            "555ded6e52b210f0fb290475320d1af5f3fbecde24c90507f3ca6c9ca0229245");
}

TEST(Fingerprint, IsTheSameHoweverTheTensorsAreStored) {
  const ModelConfig config = least_config();
  const std::string one = fingerprint_of(config, raw_tensors(config));
  const TempDir dir;
  testing::write_sharded(dir.path(), config, raw_tensors(config));
  EXPECT_EQ(to_hex(compute_fingerprint(*Checkpoint::open(dir.path()))), one);

  std::vector<RawTensor> backwards = raw_tensors(config);
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(fingerprint_of(config, backwards), one);

  std::vector<RawTensor> more = raw_tensors(config);
  more.insert(more.begin(), {"unused", "U8", {1}, "x"});  // and so every weight is misaligned
  EXPECT_EQ(fingerprint_of(config, more), one);
}

TEST(Fingerprint, IgnoresWhatTheArithmeticDoesNotDependOn) {
  ModelConfig config = least_config();
  const std::string before = fingerprint_of(config, raw_tensors(config));
  config.max_position = 1000;
  config.bos = 1;
  config.eos = {2, 3};
  config.dtype = DType::kF32;
  EXPECT_EQ(fingerprint_of(config, raw_tensors(config)), before);
}

TEST(Fingerprint, ChangesWithEveryBitOfEveryTensor) {
  const ModelConfig config = least_config();
  std::set<std::string> seen{fingerprint_of(config, raw_tensors(config))};
  std::size_t variants = 1;
  for (std::size_t i = 0; i < raw_tensors(config).size(); ++i) {
    for (const int bit : {0, 7}) {
      std::vector<RawTensor> tensors = raw_tensors(config);
      char& last = tensors[i].data.back();
      last = static_cast<char>(last ^ (1 << bit));
      seen.insert(fingerprint_of(config, tensors));
      EXPECT_EQ(seen.size(), ++variants) << tensors[i].name << " bit " << bit;
    }
  }
}

TEST(Fingerprint, ChangesWithTheDTypeAndEveryNumberOfTheArithmetic) {
  ModelConfig base = least_config();
  base.rope_scaling = Llama3RopeScaling{8.0, 1.0, 4.0, 8};
  const std::vector<std::function<void(ModelConfig&)>> changes = {
      [](ModelConfig& c) { c.rope_theta = 10000.000000000002; },
      [](ModelConfig& c) { c.rms_norm_eps = 1e-6; },
      [](ModelConfig& c) { c.rope_scaling.reset(); },
      [](ModelConfig& c) { c.rope_scaling->factor = 32; },
      [](ModelConfig& c) { c.rope_scaling->low_freq_factor = 2; },
      [](ModelConfig& c) { c.rope_scaling->high_freq_factor = 5; },
      [](ModelConfig& c) { c.rope_scaling->original_max_position = 9; },
      // The same tensors' shapes, cut into other heads.
      [](ModelConfig& c) { c.heads = c.kv_heads = 1, c.head_dim = 4; },
  };
  std::set<std::string> seen{fingerprint_of(base, raw_tensors(base))};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    ModelConfig config = base;
    changes[i](config);
    seen.insert(fingerprint_of(config, raw_tensors(config)));
    EXPECT_EQ(seen.size(), i + 2) << "change " << i;
  }
  std::vector<RawTensor> tensors = raw_tensors(base);
  find_raw(tensors, "model.norm.weight").dtype = "F16";
  EXPECT_FALSE(seen.contains(fingerprint_of(base, tensors)));
}

TEST(Fingerprint, IsTheSameOnAnyNumberOfThreadsForTensorsOfSeveralPieces) {
  ModelConfig config = least_config();
  config.hidden = 1024;
  config.vocab = 40000;  // 78 MiB of bf16: two pieces
  const TempDir dir;
  synthesize(config, dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_GT(checkpoint->spec(Weight::kEmbedding).bytes(), kFingerprintPieceBytes);
  std::vector<std::int64_t> done;
  const auto progress = [&](std::int64_t now, std::int64_t total) {
    EXPECT_LE(now, total);
    done.push_back(now);
  };
  set_threads(1);
  const Fingerprint one = compute_fingerprint(*checkpoint, progress);
  set_threads(2);
  const Fingerprint two = compute_fingerprint(*checkpoint);
  set_threads(0);
  EXPECT_EQ(one, two);
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), config.parameters() * 2);
  EXPECT_EQ(short_form(one), to_hex(one).substr(0, 12));
  EXPECT_EQ(to_hex(one).size(), 64U);
}

TEST(Fingerprint, StopsWhenAskedOrWhenTheProgressThrows) {
  const TempDir dir;
  write_checkpoint(dir.path(), least_config(), raw_tensors(least_config()));
  const auto checkpoint = Checkpoint::open(dir.path());
  const StopSource source;
  source.request_stop();
  EXPECT_EQ(error_of([&] { (void)compute_fingerprint(*checkpoint, {}, source.token()); }).first,
            ErrorCode::kInterrupted);
  EXPECT_EQ(error_of([&] {
              (void)compute_fingerprint(*checkpoint, [](std::int64_t, std::int64_t) {
                fail(ErrorCode::kTimeout, "enough");
              });
            }).first,
            ErrorCode::kTimeout);
}

}  // namespace
}  // namespace airlock::fingerprint_test
