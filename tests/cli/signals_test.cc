#include "cli/signals.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "airlock/link/connect.h"

#include "tests/support/temp_dir.h"

namespace airlock::signals_test {
namespace {

// What a signal changes stays changed: every case has a process of its own.
class SignalsDeathTest : public ::testing::Test {
 protected:
  SignalsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SignalsDeathTest, ASignalStopsTheTokenAndIsRemembered) {
  for (const int signal : {SIGINT, SIGTERM}) {
    EXPECT_EXIT(
        {
          catch_signals();
          const bool ran = !signal_stop().stopped() && caught_signal() == 0;
          ::raise(signal);
          ::_exit(ran && signal_stop().stopped() ? 128 + caught_signal() : 1);
        },
        ::testing::ExitedWithCode(128 + signal), "");
  }
}

TEST_F(SignalsDeathTest, ASecondSigintEndsTheProcess) {
  EXPECT_EXIT(
      {
        catch_signals();
        ::raise(SIGTERM);
        ::raise(SIGTERM);
        ::raise(SIGINT);
      },
      ::testing::ExitedWithCode(130), "");
}

TEST_F(SignalsDeathTest, ASecondSignalLeavesNoSocketFile) {
  GTEST_FLAG_SET(death_test_style, "fast");  // the same folder there and here
  const testing::TempDir dir;
  const std::string socket = (dir / "w.sock").string();
  for (const int first : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          catch_signals();
          const auto listener = listen(parse_uri("unix://" + socket));
          if (!std::filesystem::exists(socket)) ::_exit(1);
          ::raise(first);
          ::raise(SIGINT);
        },
        ::testing::ExitedWithCode(130), "");
    EXPECT_FALSE(std::filesystem::exists(socket));
  }
}

TEST_F(SignalsDeathTest, ALimitOnFileSizesIsAnErrorOfTheWrite) {
  EXPECT_EXIT(
      {
        catch_signals();
        ::raise(SIGXFSZ);
        ::_exit(signal_stop().stopped() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, ABrokenPipeIsNoReasonToEnd) {
  EXPECT_EXIT(
      {
        catch_signals();
        ::raise(SIGPIPE);
        ::_exit(signal_stop().stopped() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, ASignalMayComeWhileTheProcessEnds) {
  EXPECT_EXIT(
      {
        catch_signals();
        std::atexit([] { ::raise(SIGINT); });
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace airlock::signals_test
