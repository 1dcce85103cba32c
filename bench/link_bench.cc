// Request and reply over every link, against memcpy: `link_bench --benchmark_filter=unix`.
// Bytes per second count both directions. "threads" has the peer in a thread, "processes" in a
// forked process, as runner and worker are.
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/link/pair.h"

namespace airlock {
namespace {

using Bytes = std::vector<std::byte>;

// Answers every message of `size` bytes with as many, until the other end closes.
void echo(Link& link, std::size_t size) {
  Bytes buffer(size, std::byte{1});
  while (link.wait_readable(std::nullopt)) {
    link.receive(buffer);
    link.send(buffer);
  }
}

void exchange(benchmark::State& state, Link& link) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Bytes request(size, std::byte{2});
  Bytes reply(size);
  for (auto _ : state) {
    link.send(request);
    link.receive(reply);
  }
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<std::int64_t>(size));
}

using Ends = std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>>;

Ends ends_of(Transport transport) {
  if (transport == Transport::kInproc) return make_inproc_pair();
  LinkPair pair = make_pair(transport);
  return {std::move(pair.ours), adopt_fd(pair.peer_fd.release())};
}

void threads(benchmark::State& state, Transport transport) {
  const Ends ends = ends_of(transport);
  std::jthread peer([&] { echo(*ends.second, static_cast<std::size_t>(state.range(0))); });
  exchange(state, *ends.first);
  ends.first->close();
}

void processes(benchmark::State& state, Transport transport) {
  LinkPair pair = make_pair(transport);
  const pid_t child = ::fork();
  if (child < 0) return state.SkipWithError("fork failed");
  if (child == 0) {
    // `ours` is left alone: destroying it would shut down the connection that the parent shares.
    echo(*adopt_fd(pair.peer_fd.release()), static_cast<std::size_t>(state.range(0)));
    ::_exit(0);
  }
  pair.peer_fd.reset();
  exchange(state, *pair.ours);
  pair.ours->close();
  ::waitpid(child, nullptr, 0);
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
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(64)->Arg(64 << 10)->Arg(8 << 20)->Arg(128 << 20)->UseRealTime();
}

BENCHMARK(copy)->Name("memcpy")->Apply(sizes);
BENCHMARK_CAPTURE(threads, inproc, Transport::kInproc)->Apply(sizes);
BENCHMARK_CAPTURE(threads, unix, Transport::kUnix)->Apply(sizes);
BENCHMARK_CAPTURE(threads, tcp, Transport::kTcp)->Apply(sizes);
BENCHMARK_CAPTURE(processes, unix, Transport::kUnix)->Apply(sizes);
BENCHMARK_CAPTURE(processes, tcp, Transport::kTcp)->Apply(sizes);

}  // namespace
}  // namespace airlock
