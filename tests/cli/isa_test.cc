// AIRLOCK_MAX_ISA as users of the program meet it.
#include "airlock/core/isa.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"
#include "tests/support/environment.h"

namespace airlock::isa_test {
namespace {

class CliIsa : public testing::CliFixture {};

TEST_F(CliIsa, AWrongLimitIsOneClearErrorOfEveryCommand) {
  const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", "avx3");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"run", "-m", model(), "-p", "x"},
        {"worker", "-m", model(), "--listen", "unix://" + (dir() / "w.sock").string()},
        {"plan", "-m", "tiny", "--tokens", "8"}}) {
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), 2);
    EXPECT_EQ(run->out(), "");
    EXPECT_EQ(
        run->err(),
        "airlock: AIRLOCK_MAX_ISA is avx3, expected avx2, avx512, avx512_bf16 or amx (did you "
        "mean `avx2`?)\n");
  }
}

TEST_F(CliIsa, AWorkerSaysWhatItComputesWithUnderALimit) {
  if (isa() < Isa::kAvx2) GTEST_SKIP() << "this processor has no AVX2";
  const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", "avx2");
  auto worker =
      start({"worker", "-m", model(), "--listen", "unix://" + (dir() / "w.sock").string()});
  EXPECT_TRUE(worker->says("cpu, f32, avx2,")) << worker->err();
}

}  // namespace
}  // namespace airlock::isa_test
