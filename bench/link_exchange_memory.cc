// Shared memory between two processes, and the same copies within one.
#include <array>
#include <cstring>
#include <optional>

#include <benchmark/benchmark.h>

#include "airlock/link/pair.h"
#include "airlock/link/shared_memory.h"

#include "bench/link_exchange.h"
#include "bench/peer_process.h"

namespace airlock {
namespace {

constexpr std::size_t kFrame = 64;

// The three copies of `shm`, in private memory of one process.
class Copies final : public Exchange {
 public:
  explicit Copies(std::size_t size) : request_(size, std::byte{1}), reply_(size, std::byte{1}) {}

  void run(std::span<const std::byte> request, std::span<std::byte> reply) override {
    std::memcpy(request_.data(), request.data(), request.size());
    benchmark::ClobberMemory();
    std::memcpy(reply_.data(), request_.data(), request.size());
    benchmark::ClobberMemory();
    std::memcpy(reply.data(), reply_.data(), reply.size());
    benchmark::ClobberMemory();
  }

 private:
  std::vector<std::byte> request_;
  std::vector<std::byte> reply_;
};

// A request area and, behind it, a reply area, as large.
class Shared final : public Exchange {
 public:
  explicit Shared(std::size_t size) : size_(size), pair_(make_pair(Transport::kShm)) {
    peer_.emplace([&] { answer(*adopt_fd(pair_.peer_fd.release(), true), size); });
    pair_.peer_fd.reset();
    memory_ = SharedMemory::create(2 * size);
    const std::size_t whole = memory_.bytes().size();
    std::memcpy(frame_.data(), &whole, sizeof whole);
    const std::span<const std::byte> frame(frame_);
    pair_.ours->send_with_descriptor({&frame, 1}, memory_.file());
  }
  ~Shared() override { pair_.ours->close(); }

  void run(std::span<const std::byte> request, std::span<std::byte> reply) override {
    std::memcpy(memory_.bytes().data(), request.data(), size_);
    pair_.ours->send(frame_);
    pair_.ours->receive(frame_);
    std::memcpy(reply.data(), memory_.bytes().data() + size_, size_);
  }

 private:
  static void answer(Link& link, std::size_t size) {
    std::array<std::byte, kFrame> frame;
    link.receive(frame);
    std::size_t whole = 0;
    std::memcpy(&whole, frame.data(), sizeof whole);
    const SharedMemory memory = SharedMemory::adopt(link.take_descriptor(), whole);
    while (link.wait_readable(std::nullopt)) {
      link.receive(frame);
      std::memcpy(memory.bytes().data() + size, memory.bytes().data(), size);
      link.send(frame);
    }
  }

  const std::size_t size_;
  std::array<std::byte, kFrame> frame_ = {};
  LinkPair pair_;
  std::optional<PeerProcess> peer_;
  SharedMemory memory_;
};

}  // namespace

std::vector<Contestant> memory_contestants() {
  using Made = std::unique_ptr<Exchange>;
  return {
      {"shm", "memcpy, 3 copies", true,
       [](std::size_t size) -> Made { return std::make_unique<Copies>(size); }},
      {"shm", "shm", false,
       [](std::size_t size) -> Made { return std::make_unique<Shared>(size); }},
  };
}

}  // namespace airlock
