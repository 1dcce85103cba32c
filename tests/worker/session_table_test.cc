#include "airlock/worker/session_table.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/fake_backend.h"
#include "tests/support/runner.h"

namespace airlock {
namespace {

using testing::FakeBackend;
using testing::FakeSession;
using testing::small_config;
using namespace std::chrono_literals;

constexpr std::int64_t kRow = FakeSession::kRowBytes;

/// Appends `tokens` rows at `position` to the session's cache of layer 1.
void append(SessionTable& table, SessionTable::Handle& session, std::int64_t position,
            std::int64_t tokens) {
  Call call;
  call.op = Op::kAttentionBlock;
  call.layer = 1;
  call.ranges = {{0, static_cast<std::int32_t>(tokens), position}};
  call.inputs = {{DType::kF32, {tokens, small_config().hidden}}};
  testing::CallMemory memory(small_config(), call, 1);
  table.execute(session, call, memory.inputs, memory.outputs);
  EXPECT_TRUE(memory.answered());
}

std::optional<ErrorCode> error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST(SessionTable, OpensUpToItsLimitAndAgainAfterOneCloses) {
  FakeBackend backend;
  SessionTable table(backend, {2, 1000, 0ms});
  SessionTable::Handle a = table.open();
  {
    const SessionTable::Handle b = table.open();
    EXPECT_EQ(table.size(), 2);
    EXPECT_EQ(error_of([&] { (void)table.open(); }), ErrorCode::kResourceExhausted);
    EXPECT_EQ(table.size(), 2);
  }
  EXPECT_EQ(table.size(), 1);
  const SessionTable::Handle c = table.open();
  EXPECT_TRUE(c);
  a.close();
  a.close();
  EXPECT_FALSE(a);
  EXPECT_EQ(table.size(), 1);
  EXPECT_EQ(FakeSession::alive(), 1);
}

TEST(SessionTable, AMovedHandleClosesItsSessionOnce) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000, 0ms});
  SessionTable::Handle a = table.open();
  SessionTable::Handle b = std::move(a);
  EXPECT_EQ(table.size(), 1);
  b = table.open();  // closes the first
  EXPECT_EQ(table.size(), 1);
  append(table, b, 0, 2);
}

TEST(SessionTable, ABackendThatCannotOpenASessionLeavesTheTableAsItWas) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000, 0ms});
  backend.on_open = [] { fail(ErrorCode::kResourceExhausted, "no memory"); };
  EXPECT_EQ(error_of([&] { (void)table.open(); }), ErrorCode::kResourceExhausted);
  EXPECT_EQ(table.size(), 0);
  backend.on_open = nullptr;
  EXPECT_TRUE(table.open());
}

TEST(SessionTable, CountsCachesAndForgetsThoseOfClosedSessions) {
  FakeBackend backend;
  SessionTable table(backend, {4, 100 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  SessionTable::Handle b = table.open();
  append(table, a, 0, 5);
  append(table, a, 5, 1);
  append(table, b, 0, 3);
  EXPECT_EQ(table.kv_bytes(), 9 * kRow);
  append(table, a, 2, 1);  // truncates
  EXPECT_EQ(table.kv_bytes(), 6 * kRow);
  b.close();
  EXPECT_EQ(table.kv_bytes(), 3 * kRow);
}

TEST(SessionTable, DropsTheLongestIdleCachesAndNoMoreThanNeeded) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 0ms});
  SessionTable::Handle oldest = table.open();
  SessionTable::Handle older = table.open();
  SessionTable::Handle asking = table.open();
  append(table, oldest, 0, 4);
  append(table, older, 0, 4);
  append(table, asking, 0, 2);
  append(table, asking, 2, 3);  // 13 rows: one of the others must go
  EXPECT_EQ(table.kv_bytes(), 9 * kRow);
  EXPECT_EQ(error_of([&] { append(table, oldest, 4, 1); }), ErrorCode::kSessionLost);
  append(table, older, 4, 1);   // kept its cache
  append(table, oldest, 0, 1);  // starts over (and pushes another out if it must)
  EXPECT_LE(table.kv_bytes(), 10 * kRow);
}

TEST(SessionTable, RefusesWhatTheBudgetCannotHoldAndThenDropsNobody) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  SessionTable::Handle b = table.open();
  append(table, a, 0, 4);
  EXPECT_EQ(error_of([&] { append(table, b, 0, 11); }), ErrorCode::kResourceExhausted);
  append(table, a, 4, 1);
  append(table, b, 0, 5);
  EXPECT_EQ(table.kv_bytes(), 10 * kRow);
}

TEST(SessionTable, DropsNobodyWhoIsNotIdle) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 1h});
  SessionTable::Handle a = table.open();
  SessionTable::Handle b = table.open();
  append(table, a, 0, 6);
  EXPECT_EQ(error_of([&] { append(table, b, 0, 5); }), ErrorCode::kResourceExhausted);
  append(table, b, 0, 4);
  EXPECT_EQ(table.kv_bytes(), 10 * kRow);
}

TEST(SessionTable, ACallThatFailedCountsWhatItLeftBehind) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  append(table, a, 0, 3);
  EXPECT_EQ(error_of([&] { append(table, a, 7, 1); }), ErrorCode::kSessionLost);
  EXPECT_EQ(table.kv_bytes(), 3 * kRow);
}

TEST(SessionTable, OthersOpenCloseAndAskWhileACallComputes) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 0ms});
  std::mutex mutex;
  std::condition_variable changed;
  bool computing = false;
  bool release = false;
  backend.during = [&](const Call&) {
    std::unique_lock lock(mutex);
    computing = true;
    changed.notify_all();
    changed.wait(lock, [&] { return release; });
  };
  SessionTable::Handle busy = table.open();
  std::thread caller([&] { append(table, busy, 0, 2); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return computing; });
  }
  SessionTable::Handle other = table.open();  // a test that hangs here has a defect
  EXPECT_EQ(table.size(), 2);
  EXPECT_EQ(table.kv_bytes(), 0);
  other.close();
  {
    const std::lock_guard lock(mutex);
    release = true;
  }
  changed.notify_all();
  caller.join();
  EXPECT_EQ(table.kv_bytes(), 2 * kRow);
}

TEST(SessionTable, CallsOfManyThreadsTakeTurns) {
  FakeBackend backend;  // throws if two calls overlap
  SessionTable table(backend, {8, 1000 * kRow, 0ms});
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&table] {
      SessionTable::Handle session = table.open();
      for (std::int64_t position = 0; position < 50; ++position) {
        append(table, session, position, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(backend.calls, 400);
  EXPECT_EQ(table.kv_bytes(), 0);
  EXPECT_EQ(FakeSession::alive(), 0);
}

}  // namespace
}  // namespace airlock
