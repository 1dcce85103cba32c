#include "airlock/core/stop.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock::stop_test {
namespace {

/// Polls what a wait would poll; -1 ms: until something comes.
bool readable(const StopToken& token, int milliseconds = 0) {
  std::array<int, StopToken::kMostSources> descriptors;
  std::array<pollfd, StopToken::kMostSources> fds;
  const std::size_t count = token.descriptors(descriptors);
  for (std::size_t i = 0; i < count; ++i) fds[i] = {descriptors[i], POLLIN, 0};
  return ::poll(fds.data(), count, milliseconds) > 0;
}

void expect_running(const StopToken& token) {
  EXPECT_FALSE(token.stopped());
  EXPECT_FALSE(readable(token));
  EXPECT_NO_THROW(token.throw_if_stopped());
}

void expect_stopped(const StopToken& token) {
  EXPECT_TRUE(token.stopped());
  EXPECT_TRUE(readable(token));
  try {
    token.throw_if_stopped();
    ADD_FAILURE() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
}

std::optional<ErrorCode> error_of_following(const StopToken& token) {
  try {
    const StopSource source(token);
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST(Stop, ATokenWithoutASourceNeverStops) {
  const StopToken token;
  expect_running(token);
  std::array<int, StopToken::kMostSources> descriptors;
  EXPECT_EQ(token.descriptors(descriptors), 0u);
}

TEST(Stop, ReachesEveryCopyOnceAndForAll) {
  const StopSource source;
  const StopToken early = source.token();
  const StopToken copy = early;
  expect_running(copy);
  source.request_stop();
  source.request_stop();
  for (int look = 0; look < 2; ++look) {
    expect_stopped(early);
    expect_stopped(copy);
    expect_stopped(source.token());
  }
}

TEST(Stop, GoesDownFromAProgramToItsEnginesAndSequencesAndNeverUpOrSideways) {
  const StopSource program;
  const StopSource engine(program.token());
  const StopSource other_engine(program.token());
  const StopSource sequence(engine.token());
  const StopSource other_sequence(engine.token());

  sequence.request_stop();
  expect_stopped(sequence.token());
  expect_running(other_sequence.token());
  expect_running(engine.token());

  engine.request_stop();
  expect_stopped(other_sequence.token());
  expect_running(other_engine.token());
  expect_running(program.token());

  program.request_stop();
  expect_stopped(other_engine.token());
  expect_stopped(StopSource(sequence.token()).token());
}

TEST(Stop, ASourceMayGoBeforeItsTokens) {
  StopToken token;
  std::optional<StopSource> program(std::in_place);
  {
    const StopSource engine(program->token());
    token = engine.token();
  }
  expect_running(token);
  program->request_stop();
  program.reset();
  expect_stopped(token);
}

TEST(Stop, RefusesMoreSourcesInARowThanAWaitCanPoll) {
  std::deque<StopSource> sources(1);
  while (sources.size() < StopToken::kMostSources) {
    const StopToken last = sources.back().token();
    EXPECT_EQ(error_of_following(last), std::nullopt);
    sources.emplace_back(last);
  }
  EXPECT_EQ(error_of_following(sources.back().token()), ErrorCode::kInternal);
  sources.front().request_stop();
  expect_stopped(sources.back().token());
}

TEST(Stop, SaysThatThereIsNoDescriptor) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(STDERR_FILENO);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto code = error_of_following({});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(code, ErrorCode::kResourceExhausted);
}

TEST(Stop, LeavesErrnoAsItWas) {
  const StopSource source;
  errno = EDOM;
  source.request_stop();
  EXPECT_EQ(errno, EDOM);
}

TEST(Stop, IsMissedByNoneOfManyThreads) {
  constexpr int kThreads = 8;
  for (int round = 0; round < 50; ++round) {
    const StopSource program;
    const StopSource engine(program.token());
    std::atomic<int> woken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&woken, i, token = engine.token()] {
        // Half of them sleep, half look, each with a source of its own behind the engine's.
        const StopSource sequence(token);
        const StopToken mine = sequence.token();
        if (i % 2 == 0) {
          EXPECT_TRUE(readable(mine, -1));
        }
        while (!mine.stopped()) std::this_thread::yield();
        ++woken;
      });
    }
    threads.emplace_back([&] { engine.request_stop(); });
    program.request_stop();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(woken, kThreads);
  }
}

}  // namespace
}  // namespace airlock::stop_test
