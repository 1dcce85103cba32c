#include "airlock/core/interrupt.h"

#include <csignal>

#include <gtest/gtest.h>
#include <poll.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

bool readable() {
  pollfd fd{interrupt_fd(), POLLIN, 0};
  return ::poll(&fd, 1, 0) == 1;
}

void expect_quiet() {
  EXPECT_FALSE(interrupted());
  EXPECT_EQ(interrupt_signal(), 0);
  EXPECT_FALSE(readable());
  EXPECT_NO_THROW(throw_if_interrupted());
}

void expect_interrupted(int signal) {
  EXPECT_TRUE(interrupted());
  EXPECT_EQ(interrupt_signal(), signal);
  EXPECT_TRUE(readable());
  try {
    throw_if_interrupted();
    ADD_FAILURE() << "no interrupt";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
}

TEST(Interrupt, IsRaisedAndTakenBack) {
  expect_quiet();
  raise_interrupt();
  expect_interrupted(SIGTERM);
  expect_interrupted(SIGTERM);  // stays until it is taken back
  clear_interrupt();
  expect_quiet();
  clear_interrupt();
  expect_quiet();
}

TEST(Interrupt, ASignalActsLikeIt) {
  struct sigaction old_int {
  }, old_term{}, old_pipe{};
  ::sigaction(SIGINT, nullptr, &old_int);
  ::sigaction(SIGTERM, nullptr, &old_term);
  ::sigaction(SIGPIPE, nullptr, &old_pipe);
  catch_interrupts();
  for (const int signal : {SIGINT, SIGTERM}) {
    ::raise(signal);
    expect_interrupted(signal);
    clear_interrupt();
    expect_quiet();
  }
  ::raise(SIGPIPE);
  expect_quiet();
  ::sigaction(SIGINT, &old_int, nullptr);
  ::sigaction(SIGTERM, &old_term, nullptr);
  ::sigaction(SIGPIPE, &old_pipe, nullptr);
}

TEST(InterruptDeathTest, ASecondSigintEndsTheProcess) {
  // A forked child would share the descriptor behind interrupt_fd().
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        catch_interrupts();
        ::raise(SIGINT);
        ::raise(SIGINT);
      },
      ::testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace airlock
