#include "airlock/worker/turn_queue.h"

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::turn_queue_test {
namespace {

using Flow = FairOrder::Flow;
using Waiting = FairOrder::Waiting;

/// A flow that asks again as soon as it was served.
struct Greedy {
  double cost = 1;
  Flow flow;
  Waiting request;
  double had = 0;
};

/// Serves one request after the other, as a backend does; time is what was served.
struct Server {
  FairOrder order;
  std::vector<std::unique_ptr<Greedy>> greedy;

  void add(double cost) {
    greedy.push_back(std::make_unique<Greedy>());
    greedy.back()->cost = cost;
    order.arrive(greedy.back()->flow, cost, greedy.back()->request);
  }
  /// Serves one request, which must be a greedy flow's, and lets that ask again.
  void serve_greedy() {
    Waiting* const served = order.next();
    for (const auto& each : greedy) {
      if (&each->request != served) continue;
      each->had += each->cost;
      order.arrive(each->flow, each->cost, each->request);
      return;
    }
    FAIL() << "served nobody, or the small flow";
  }
};

TEST(FairOrder, ServesEqualFlowsInTheOrderInWhichTheyCame) {
  FairOrder order;
  std::array<Flow, 5> flows;
  std::array<Waiting, 5> requests;
  for (std::size_t i = 0; i < flows.size(); ++i) order.arrive(flows[i], 3, requests[i]);
  for (Waiting& request : requests) EXPECT_EQ(order.next(), &request);
  EXPECT_EQ(order.next(), nullptr);
}

TEST(FairOrder, LetsNobodyPassAWaitingFlowTwice) {
  Server server;
  for (int i = 0; i < 7; ++i) server.add(1);
  for (int round = 0; round < 40; ++round) server.serve_greedy();
  for (int waits = 0; waits < 50; ++waits) {
    std::vector<double> before;
    for (const auto& each : server.greedy) before.push_back(each->had);
    for (int i = 0; i < 7; ++i) server.serve_greedy();
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(server.greedy[i]->had, before[i] + 1);
    }
  }
}

TEST(FairOrder, GivesFlowsOfSmallAndOfLargeCallsTheSameWork) {
  Server server;
  for (const double cost : {1.0, 3.0, 10.0, 1000.0}) server.add(cost);
  for (int i = 0; i < 200000; ++i) {
    server.serve_greedy();
    double least = server.greedy[0]->had;
    double most = least;
    for (const auto& each : server.greedy) {
      least = std::min(least, each->had);
      most = std::max(most, each->had);
    }
    ASSERT_LE(most - least, 2 * 1000.0) << "after " << i;
  }
}

TEST(FairOrder, ASmallCallWaitsForTheRunningOneAloneHoweverManyFlood) {
  Server server;
  for (int i = 0; i < 39; ++i) server.add(1000);
  for (int i = 0; i < 39; ++i) server.serve_greedy();
  Flow small;
  Waiting call;
  for (int token = 0; token < 1000; ++token) {
    server.serve_greedy();  // runs when the small call comes
    server.order.arrive(small, 1, call);
    ASSERT_EQ(server.order.next(), &call) << token;
  }
}

TEST(FairOrder, AFlowThatWasIdleHasSavedNothingUp) {
  FairOrder order;
  Flow idle;
  Flow busy;
  Waiting first;
  Waiting other;
  for (int i = 0; i < 1000; ++i) {
    order.arrive(busy, 5, other);
    ASSERT_EQ(order.next(), &other);
  }
  order.arrive(busy, 5, other);
  order.arrive(idle, 5, first);
  EXPECT_EQ(order.next(), &first);
  order.arrive(idle, 5, first);
  EXPECT_EQ(order.next(), &other) << "it was served twice in a row";
}

/// A thread that takes one turn and says so.
class Taker {
 public:
  Taker(TurnQueue& queue, Flow& flow, double cost, int name, std::vector<int>& order)
      : thread_([&queue, &flow, cost, name, &order] {
          const TurnQueue::Turn turn = queue.take(flow, cost);
          order.push_back(name);  // turns exclude each other
        }) {}
  ~Taker() { thread_.join(); }
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;

 private:
  std::thread thread_;
};

TEST(TurnQueue, HandsTurnsOverInFairOrder) {
  TurnQueue queue;
  std::vector<int> order;
  std::array<Flow, 3> flows;
  {
    std::vector<std::unique_ptr<Taker>> takers;
    const TurnQueue::Turn running = queue.take(flows[0], 10);
    const auto start = [&](std::size_t flow, double cost) {
      takers.push_back(
          std::make_unique<Taker>(queue, flows[flow], cost, static_cast<int>(flow), order));
      while (queue.waiting() < takers.size()) std::this_thread::yield();
    };
    start(0, 10);  // after its turn that runs
    start(1, 100);
    start(2, 1);
    // `running` ends before the takers are joined
  }
  EXPECT_EQ(order, (std::vector{2, 0, 1}));
  EXPECT_EQ(queue.waiting(), 0U);
}

TEST(TurnQueue, OneTurnExcludesTheOthers) {
  TurnQueue queue;
  std::int64_t sum = 0;  // a race would lose some, and ThreadSanitizer tell
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      Flow flow;
      for (int turn = 0; turn < 500; ++turn) {
        const TurnQueue::Turn own = queue.take(flow, 1 + turn % 7);
        ++sum;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 3000);
}

TEST(TurnQueue, IsSharedWhileAnotherFlowHadATurnLately) {
  TurnQueue queue;
  Flow one;
  Flow other;
  const auto turn = [&](Flow& flow) { const TurnQueue::Turn taken = queue.take(flow, 1); };
  for (int i = 0; i < 3; ++i) turn(one);
  EXPECT_FALSE(queue.is_shared());
  turn(other);
  EXPECT_TRUE(queue.is_shared());
  for (int i = 0; i < 10; ++i) turn(one);
  EXPECT_TRUE(queue.is_shared());
  for (int i = 0; i < 1000; ++i) turn(one);
  EXPECT_FALSE(queue.is_shared());
}

}  // namespace
}  // namespace airlock::turn_queue_test
