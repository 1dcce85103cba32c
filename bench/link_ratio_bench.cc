// How fast Airlock's links are against what a machine can do: shared memory against memcpy, unix
// and TCP sockets against the best of plain socket loops, all against ZeroMQ. Prints a markdown
// table: `link_ratio_bench [ROUNDS [BYTES...]]`.
//
// The machine drifts, and where pages happen to lie in memory makes one process faster than its
// twin by a third. So every round makes every contestant anew, lets those of a family take turns,
// and compares only what ran in the same round; the table holds medians over the rounds, and their
// extremes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/link_exchange.h"

namespace airlock {
namespace {

using Bytes = std::vector<std::byte>;
using Samples = std::vector<double>;

constexpr std::size_t kDefaultSizes[] = {64, 64 << 10, 8 << 20, 128 << 20};
constexpr std::size_t kDefaultRounds = 9;
// One timed batch: long enough for the clock, short enough for a hundred of them.
constexpr std::size_t kBytesPerBatch = 64 << 20;
constexpr std::size_t kMostPerBatch = 1000;

/// One contestant's seconds per exchange, by round.
struct Series {
  Contestant contestant;
  Samples seconds;
};

double median(Samples samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

double seconds_per_exchange(const Contestant& contestant, const Bytes& request, Bytes& reply) {
  const auto exchange = contestant.make(request.size());
  // The first one meets pages that the fork left to be copied.
  exchange->run(request, reply);
  const std::size_t count =
      std::clamp<std::size_t>(kBytesPerBatch / request.size(), 1, kMostPerBatch);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < count; ++i) exchange->run(request, reply);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count() / static_cast<double>(count);
}

std::vector<Series> measure(std::size_t size, std::size_t rounds) {
  std::vector<Series> all;
  for (const Contestant& one : contestants()) all.push_back({one, {}});
  const Bytes request(size, std::byte{1});
  Bytes reply(size, std::byte{2});
  for (std::size_t round = 0; round < rounds; ++round) {
    for (auto family = all.begin(); family != all.end();) {
      const auto end = std::find_if(family, all.end(), [&](const Series& one) {
        return std::string(one.contestant.family) != family->contestant.family;
      });
      const auto members = static_cast<std::size_t>(end - family);
      for (std::size_t turn = 0; turn < members; ++turn) {
        Series& one = family[static_cast<std::ptrdiff_t>((round + turn) % members)];
        one.seconds.push_back(seconds_per_exchange(one.contestant, request, reply));
      }
      family = end;
    }
  }
  return all;
}

// "median (min-max)" of what the samples become by `scale`.
template <typename Scale>
std::string summary(const Samples& samples, Scale&& scale) {
  Samples scaled;
  for (std::size_t i = 0; i < samples.size(); ++i) scaled.push_back(scale(i));
  const auto [least, most] = std::minmax_element(scaled.begin(), scaled.end());
  return fmt::format("{:.2f} ({:.2f}-{:.2f})", median(scaled), *least, *most);
}

// How fast `one` is in units of `other`; a dash if there is none.
std::string ratio(const Series& one, const Series* other) {
  if (other == nullptr || other == &one) return "-";
  return summary(one.seconds, [&](std::size_t i) { return other->seconds[i] / one.seconds[i]; });
}

const Series* yardstick_of(const Series& one, const std::vector<Series>& all) {
  const Series* best = nullptr;
  for (const Series& other : all) {
    if (!other.contestant.yardstick || one.contestant.yardstick ||
        std::string(other.contestant.family) != one.contestant.family) {
      continue;
    }
    if (best == nullptr || median(other.seconds) < median(best->seconds)) best = &other;
  }
  return best;
}

void print(std::size_t size, const std::vector<Series>& all) {
  const auto zmq = std::find_if(all.begin(), all.end(), [](const Series& one) {
    return std::string(one.contestant.family) == "zmq";
  });
  for (const Series& one : all) {
    const Series* yardstick = yardstick_of(one, all);
    fmt::print(
        "| {} | {} | {:.1f} | {} | {} | {} | {} |\n", size, one.contestant.name,
        median(one.seconds) * 1e6,
        summary(one.seconds,
                [&](std::size_t i) { return 2e-9 * static_cast<double>(size) / one.seconds[i]; }),
        ratio(one, yardstick), yardstick != nullptr ? yardstick->contestant.name : "-",
        ratio(one, zmq == all.end() ? nullptr : &*zmq));
  }
  std::fflush(stdout);
}

int run(const std::vector<std::size_t>& numbers) {
  const std::size_t rounds =
      numbers.empty() ? kDefaultRounds : std::max<std::size_t>(numbers[0], 1);
  std::vector<std::size_t> sizes(std::begin(kDefaultSizes), std::end(kDefaultSizes));
  if (numbers.size() > 1) sizes.assign(numbers.begin() + 1, numbers.end());
  fmt::print(
      "Medians (min-max) of {} rounds; GB/s count both directions.\n\n"
      "| bytes each way | what | round trip us | GB/s | of its yardstick | yardstick | of zmq ipc "
      "|\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n",
      rounds);
  std::fflush(stdout);
  for (const std::size_t size : sizes) print(size, measure(size, rounds));
  return 0;
}

}  // namespace
}  // namespace airlock

int main(int argc, char** argv) {
  std::vector<std::size_t> numbers;
  for (int i = 1; i < argc; ++i) {
    numbers.push_back(std::strtoul(argv[i], nullptr, 10));
    if (numbers.back() != 0) continue;
    std::fprintf(stderr, "usage: link_ratio_bench [ROUNDS [BYTES...]]\n");
    return 2;
  }
  try {
    return airlock::run(numbers);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "link_ratio_bench: %s\n", error.what());
    return 1;
  }
}
