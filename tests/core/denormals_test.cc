#include "airlock/core/denormals.h"

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/pipeline.h"
#include "airlock/core/threads.h"

namespace airlock::denormals_test {
namespace {

/// Half of the least normal float, by arithmetic that the compiler cannot do beforehand.
float half_of_least_normal() {
  volatile float least = std::numeric_limits<float>::min();
  volatile float half = 0.5F;
  return least * half;
}

class Denormals : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kFlushMode == 0) GTEST_SKIP() << "this processor has no such mode that is known here";
    ASSERT_FALSE(flushes_denormals()) << "a test's own thread is as the system made it";
  }
  void TearDown() override { set_threads(0); }
};

TEST_F(Denormals, AreZeroWithinAScopeAndAsBeforeAfterIt) {
  EXPECT_NE(half_of_least_normal(), 0.0F);
  {
    const FlushDenormals flush;
    EXPECT_TRUE(flushes_denormals());
    EXPECT_EQ(half_of_least_normal(), 0.0F);
    { const FlushDenormals again; }
    EXPECT_TRUE(flushes_denormals());
  }
  EXPECT_FALSE(flushes_denormals());
  EXPECT_NE(half_of_least_normal(), 0.0F);
}

TEST_F(Denormals, AThreadInheritsTheModeOfTheOneThatStartsIt) {
  std::thread([] {
    flush_denormals();
    std::thread([] { EXPECT_TRUE(flushes_denormals()); }).join();
  }).join();
}

TEST_F(Denormals, AreFlushedOnEveryThreadOfAParallelLoopAndNotInItsCallersOwnArithmetic) {
  set_threads(4);
  std::atomic<int> flushed{0};
  parallel_for(4, 1, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_TRUE(flushes_denormals());
    EXPECT_EQ(half_of_least_normal(), 0.0F);
    flushed += static_cast<int>(end - begin);
  });
  parallel_for(1, 1, [&](std::int64_t, std::int64_t) {
    EXPECT_TRUE(flushes_denormals()) << "on the caller alone";
  });
  parallel_tasks(64, [&](std::int64_t, int) {
    EXPECT_TRUE(flushes_denormals());
    ++flushed;
  });
  EXPECT_EQ(flushed, 68);
  EXPECT_FALSE(flushes_denormals());
}

TEST_F(Denormals, AreFlushedByTheTeamThatALibraryFinds) {
  set_threads(4);
  ready_team();
  std::atomic<int> flushed{0};
#pragma omp parallel num_threads(4)
  {
    if (flushes_denormals()) ++flushed;
  }
  EXPECT_EQ(flushed, 3) << "all but the caller";
}

TEST_F(Denormals, AreFlushedByStagesOfAPipeline) {
  std::atomic<int> flushed{0};
  const auto stage = [&](std::uint64_t) { flushed += flushes_denormals() ? 1 : 0; };
  Pipeline pipeline({stage, stage}, [] {});
  pipeline.submit();
  pipeline.wait(0);
  EXPECT_EQ(flushed, 2);
}

}  // namespace
}  // namespace airlock::denormals_test
