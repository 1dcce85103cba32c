#include "airlock/worker/session_table.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <semaphore>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/fake_backend.h"
#include "tests/support/runner.h"

namespace airlock::session_table_test {
namespace {

using testing::FakeBackend;
using testing::FakeSequence;
using testing::small_config;
using namespace std::chrono_literals;

constexpr std::int64_t kRow = FakeSequence::kRowBytes;

/// Appends the rows of `ranges` to the session's caches of layer 1.
void append(SessionTable& table, SessionTable::Handle& session, const RowRanges& ranges) {
  std::int64_t tokens = 0;
  for (const RowRange& range : ranges) tokens += range.tokens;
  Call call;
  call.op = Op::kAttentionBlock;
  call.layer = 1;
  call.ranges = ranges;
  call.inputs = {{DType::kF32, {tokens, small_config().hidden}}};
  testing::CallMemory memory(small_config(), call, 1);
  table.execute(session, call, memory.inputs, memory.outputs);
  EXPECT_TRUE(memory.answered());
}

/// The same of a session that holds one sequence.
void append(SessionTable& table, SessionTable::Handle& session, std::int64_t position,
            std::int64_t tokens) {
  append(table, session, {{0, static_cast<std::int32_t>(tokens), position}});
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
}

TEST(SessionTable, AFullOneEvictsTheSessionThatWasWithoutACallForLongest) {
  FakeBackend backend;
  SessionTable table(backend, {.sessions = 3, .kv_bytes = 1000 * kRow, .session_idle = 0ms});
  std::vector<int> evicted;
  const auto open = [&](int name) {
    SessionTable::Handle handle = table.open([&evicted, name] { evicted.push_back(name); });
    table.work_ends(handle);
    return handle;
  };
  SessionTable::Handle a = open(1);
  SessionTable::Handle b = open(2);
  SessionTable::Handle c = open(3);
  append(table, a, 0, 1);
  append(table, c, 0, 1);
  const SessionTable::Handle d = open(4);
  EXPECT_EQ(evicted, (std::vector{2}));
  EXPECT_EQ(table.size(), 3);
  EXPECT_EQ(error_of([&] { table.work_begins(b); }), ErrorCode::kSessionLost);
  table.work_begins(a);
  const SessionTable::Handle e = open(5);
  EXPECT_EQ(evicted, (std::vector{2, 3}));
  b.close();
  EXPECT_EQ(table.size(), 3);
}

TEST(SessionTable, EvictsNoSessionThatIsAtWorkOrHadACallLately) {
  FakeBackend backend;
  const auto never = [] { ADD_FAILURE() << "a session was evicted"; };
  SessionTable at_work(backend, {.sessions = 2, .session_idle = 0ms});
  SessionTable::Handle opened = at_work.open(never);  // not yet told that it is
  SessionTable::Handle busy = at_work.open(never);
  at_work.work_begins(busy);
  at_work.work_ends(busy);
  EXPECT_EQ(error_of([&] { (void)at_work.open(never); }), ErrorCode::kResourceExhausted);
  SessionTable lately(backend, {.sessions = 1, .session_idle = 1h});
  SessionTable::Handle fresh = lately.open(never);
  lately.work_ends(fresh);
  EXPECT_EQ(error_of([&] { (void)lately.open(never); }), ErrorCode::kResourceExhausted);
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

TEST(SessionTable, ABackendThatCannotMakeASequenceFailsThatCallAndLeavesTheSessionAsItWas) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000 * kRow, 0ms, 2});
  SessionTable::Handle a = table.open();
  append(table, a, {{5, 3, 0}});
  int more = 1;
  backend.on_open = [&] {
    if (more-- == 0) fail(ErrorCode::kResourceExhausted, "no memory");
  };
  SessionTable::Handle b = table.open();
  EXPECT_EQ(error_of([&] {
              append(table, b, {{1, 1, 0}, {2, 1, 0}});
            }),
            ErrorCode::kResourceExhausted);
  EXPECT_EQ(FakeSequence::alive(), 1);
  backend.on_open = nullptr;
  append(table, a, {{5, 1, 3}});
  append(table, b, {{1, 1, 0}, {2, 1, 0}});
}

TEST(SessionTable, ASessionsSequencesKeepTheirOwnRows) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  SessionTable::Handle b = table.open();
  append(table, a, {{7, 3, 0}});
  append(table, a, {{8, 2, 0}, {7, 1, 3}, {0xffffffff, 4, 0}});
  EXPECT_EQ(table.kv_bytes(), 10 * kRow);
  append(table, a, {{7, 1, 4}, {8, 1, 2}});
  append(table, b, {{7, 2, 0}});  // another session's
  append(table, a, {{7, 1, 5}});
  EXPECT_EQ(error_of([&] { append(table, b, {{7, 1, 5}}); }), ErrorCode::kSessionLost);
  append(table, a, {{7, 1, 2}});  // rewound
  EXPECT_EQ(error_of([&] { append(table, a, {{7, 1, 5}}); }), ErrorCode::kSessionLost);
  append(table, a, {{8, 1, 3}});
}

TEST(SessionTable, ASequenceThatIsNotHeldBeginsAtItsFirstRow) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  append(table, a, {{7, 3, 0}});
  EXPECT_EQ(error_of([&] {
              append(table, a, {{8, 1, 0}, {7, 1, 3}, {9, 1, 1}});
            }),
            ErrorCode::kSessionLost);
  EXPECT_EQ(FakeSequence::alive(), 1);
  EXPECT_EQ(table.kv_bytes(), 3 * kRow);
}

TEST(SessionTable, AnEndedSequenceGivesItsCacheBackAndMayBeginAnew) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  append(table, a, {{7, 3, 0}, {8, 2, 0}});
  table.end_sequence(a, 7);
  EXPECT_EQ(table.kv_bytes(), 2 * kRow);
  EXPECT_EQ(FakeSequence::alive(), 1);
  EXPECT_EQ(error_of([&] { append(table, a, {{7, 1, 3}}); }), ErrorCode::kSessionLost);
  table.end_sequence(a, 7);
  table.end_sequence(a, 12345);  // of which nobody has heard
  append(table, a, {{7, 1, 0}, {8, 1, 2}});
  EXPECT_EQ(table.kv_bytes(), 4 * kRow);
}

TEST(SessionTable, ASessionHoldsNoMoreSequencesThanItsLimit) {
  FakeBackend backend;
  SessionTable table(backend, {4, 1000 * kRow, 1h, 3});
  SessionTable::Handle a = table.open();
  append(table, a, {{1, 1, 0}, {2, 1, 0}});
  EXPECT_EQ(error_of([&] {
              append(table, a, {{3, 1, 0}, {4, 1, 0}});
            }),
            ErrorCode::kResourceExhausted);
  EXPECT_EQ(FakeSequence::alive(), 2);
  append(table, a, {{3, 1, 0}, {2, 1, 1}, {1, 1, 0}});
  for (std::uint32_t id = 4; id < 400; ++id) {
    EXPECT_EQ(error_of([&] { append(table, a, {{id, 1, 0}}); }), ErrorCode::kResourceExhausted);
  }
  SessionTable::Handle b = table.open();
  append(table, b, {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}});
  table.end_sequence(a, 2);
  append(table, a, {{4, 1, 0}});
  EXPECT_EQ(FakeSequence::alive(), 6);
}

TEST(SessionTable, DropsIdleSequencesOfItsOwnSessionButNoneOfTheCall) {
  FakeBackend backend;
  SessionTable table(backend, {4, 10 * kRow, 0ms});
  SessionTable::Handle a = table.open();
  append(table, a, {{1, 4, 0}});
  append(table, a, {{2, 4, 0}});
  append(table, a, {{3, 1, 0}, {1, 1, 4}});
  append(table, a, {{3, 1, 1}, {1, 1, 5}});  // 12 rows: the second has been idle
  EXPECT_EQ(table.kv_bytes(), 8 * kRow);
  EXPECT_EQ(error_of([&] { append(table, a, {{2, 1, 4}}); }), ErrorCode::kSessionLost);
  EXPECT_EQ(error_of([&] {
              append(table, a, {{3, 4, 2}, {1, 1, 6}});
            }),
            ErrorCode::kResourceExhausted);  // 13 rows, all of this call
  append(table, a, {{3, 1, 2}, {1, 1, 6}});
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
  EXPECT_EQ(FakeSequence::alive(), 0);
}

/// A backend whose calls end when they are let.
struct GatedBackend {
  GatedBackend() {
    backend.turn_rows = 256;
    backend.during = [this](const Call& call) {
      {
        const std::lock_guard lock(mutex);
        began.push_back(call.inputs[0].shape[0]);
      }
      gate.acquire();
    };
  }
  void wait_until_begun(std::size_t calls) {
    while (begun().size() < calls) std::this_thread::yield();
  }
  std::vector<std::int64_t> begun() {
    const std::lock_guard lock(mutex);
    return began;
  }

  FakeBackend backend;
  std::mutex mutex;
  std::vector<std::int64_t> began;  ///< rows of each call
  std::counting_semaphore<> gate{0};
};

void multiply(SessionTable& table, SessionTable::Handle& session, std::int64_t rows) {
  const Call call = testing::legal_calls(small_config(), rows, DType::kF32)[10].call;
  testing::CallMemory memory(small_config(), call, 1);
  table.execute(session, call, memory.inputs, memory.outputs);
}

TEST(SessionTable, ASmallCallWaitsForOneTurnOfALargeOne) {
  GatedBackend gated;
  SessionTable table(gated.backend, {4, 1000, 0ms});
  SessionTable::Handle large = table.open();
  SessionTable::Handle small = table.open();
  std::thread flooder([&] { multiply(table, large, 1000); });
  gated.wait_until_begun(1);
  std::thread other([&] { multiply(table, small, 1); });
  while (table.waiting() == 0) std::this_thread::yield();
  gated.gate.release(100);
  flooder.join();
  other.join();
  EXPECT_EQ(gated.begun(), (std::vector<std::int64_t>{256, 1, 256, 256, 232}));
}

TEST(SessionTable, ASmallCallPassesAllThatFlood) {
  GatedBackend gated;
  constexpr std::size_t kFlooders = 6;
  SessionTable table(gated.backend, {16, 1000, 0ms});
  std::vector<SessionTable::Handle> handles;
  std::vector<std::thread> flooders;
  for (std::size_t i = 0; i < kFlooders; ++i) handles.push_back(table.open());
  for (SessionTable::Handle& handle : handles) {
    flooders.emplace_back([&table, &handle] { multiply(table, handle, 1024); });
  }
  gated.wait_until_begun(1);
  while (table.waiting() < kFlooders - 1) std::this_thread::yield();
  gated.gate.release(kFlooders - 1);  // each has had a turn, and the last one has it now
  gated.wait_until_begun(kFlooders);
  SessionTable::Handle small = table.open();
  std::thread other([&] { multiply(table, small, 1); });
  while (table.waiting() < kFlooders) std::this_thread::yield();
  gated.gate.release(100);
  for (std::thread& flooder : flooders) flooder.join();
  other.join();
  EXPECT_EQ(gated.begun()[kFlooders], 1);
}

TEST(SessionTable, ALargeCallIsAnsweredInPieces) {
  FakeBackend backend;
  backend.turn_rows = 256;
  SessionTable table(backend, {4, 1000, 0ms});
  SessionTable::Handle session = table.open();
  const Call call = testing::legal_calls(small_config(), 300, DType::kF32)[3].call;
  testing::CallMemory memory(small_config(), call, 1);
  table.execute(session, call, memory.inputs, memory.outputs);
  EXPECT_EQ(backend.calls, 2);
  const std::int64_t width = small_config().hidden;
  const float* const x = memory.inputs[0].as<float>();
  const float sums[] = {std::accumulate(x, x + 256 * width, 0.0F),
                        std::accumulate(x + 256 * width, x + 300 * width, 0.0F)};
  for (std::size_t i = 0; i < memory.outputs.size(); ++i) {
    for (std::int64_t at = 0; at < 300 * small_config().ffn; ++at) {
      const float sum = sums[at < 256 * small_config().ffn ? 0 : 1];
      ASSERT_EQ(memory.outputs[i].as<float>()[at], testing::fake_answer(sum, i)) << at;
    }
  }
}

TEST(SessionTable, RefusesACallThatWouldHoldTheBackendForTooLong) {
  FakeBackend backend;
  SessionTable table(backend, {.kv_bytes = 1000 * kRow, .turn_cost = 50000});
  SessionTable::Handle session = table.open();
  append(table, session, 0, 4);
  EXPECT_EQ(error_of([&] { append(table, session, 4, 50); }), ErrorCode::kResourceExhausted);
  EXPECT_EQ(table.kv_bytes(), 4 * kRow);
  append(table, session, 4, 1);
}

}  // namespace
}  // namespace airlock::session_table_test
