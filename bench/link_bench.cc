// Request and reply over every link, against memcpy: `link_bench --benchmark_filter=unix`.
// Bytes per second count both directions. "threads" has the peer in a thread, "processes" in a
// forked process, as runner and worker are. link_ratio_bench compares; this gives single figures.
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/link/pair.h"

#include "bench/link_exchange.h"

namespace airlock {
namespace {

using Bytes = std::vector<std::byte>;

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * 2 * state.range(0));
}

void processes(benchmark::State& state, const Contestant& contestant) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes request(size, std::byte{2});
  Bytes reply(size, std::byte{3});
  const auto exchange = contestant.make(size);
  for (auto _ : state) exchange->run(request, reply);
  count_bytes(state);
}

using Ends = std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>>;

Ends ends_of(Transport transport) {
  if (transport == Transport::kInproc) return make_inproc_pair();
  LinkPair pair = make_pair(transport);
  return {std::move(pair.ours), adopt_fd(pair.peer_fd.release())};
}

// Answers every message of `size` bytes with as many, until the other end closes.
void echo(Link& link, std::size_t size) {
  Bytes buffer(size, std::byte{1});
  while (link.wait_readable(std::nullopt)) {
    link.receive(buffer);
    link.send(buffer);
  }
}

void threads(benchmark::State& state, Transport transport) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes request(size, std::byte{2});
  Bytes reply(size, std::byte{3});
  const Ends ends = ends_of(transport);
  std::jthread peer([&] { echo(*ends.second, size); });
  for (auto _ : state) {
    ends.first->send(request);
    ends.first->receive(reply);
  }
  count_bytes(state);
  ends.first->close();
}

// What the same number of bytes cost to copy once: the limit of any link that copies.
void copy(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes from(size, std::byte{1});
  Bytes to(size);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), size);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(64)->Arg(64 << 10)->Arg(8 << 20)->Arg(128 << 20)->UseRealTime();
}

BENCHMARK(copy)->Name("memcpy")->Apply(sizes);
BENCHMARK_CAPTURE(threads, inproc, Transport::kInproc)->Apply(sizes);
BENCHMARK_CAPTURE(threads, unix, Transport::kUnix)->Apply(sizes);
BENCHMARK_CAPTURE(threads, tcp, Transport::kTcp)->Apply(sizes);

// Families are in the name, as "processes/tcp/plain".
[[maybe_unused]] const bool registered = [] {
  for (const Contestant& one : contestants()) {
    const std::string name = std::string("processes/") + one.family + "/" + one.name;
    benchmark::RegisterBenchmark(name.c_str(), processes, one)->Apply(sizes);
  }
  return true;
}();

}  // namespace
}  // namespace airlock
