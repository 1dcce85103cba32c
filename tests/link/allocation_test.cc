// A shaped link leaves the heap alone once it stands, in its user's threads and in its own.
#include <atomic>

#include <gtest/gtest.h>

#include "tests/link/link_support.h"
#include "tests/support/count_allocations.h"

namespace airlock::allocation_test {
namespace {

using testing::allocations_of_this_thread;

/// Forwards to another link and writes down what the thread that reads has allocated.
class Witness final : public Link {
 public:
  Witness(std::unique_ptr<Link> inner, std::atomic<std::int64_t>& reader)
      : inner_(std::move(inner)), reader_(reader) {}

  void send(std::span<const std::span<const std::byte>> parts) override { inner_->send(parts); }
  void receive(std::span<const std::span<std::byte>> parts) override { inner_->receive(parts); }
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override {
    reader_ = allocations_of_this_thread();
    return inner_->receive_some(into);
  }
  bool wait_readable(std::optional<std::chrono::milliseconds> timeout) override {
    return inner_->wait_readable(timeout);
  }
  void set_stall_timeout(std::chrono::milliseconds timeout) override {
    inner_->set_stall_timeout(timeout);
  }
  void close() noexcept override { inner_->close(); }
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept override { return inner_->bytes_sent(); }
  [[nodiscard]] std::uint64_t bytes_received() const noexcept override {
    return inner_->bytes_received();
  }
  [[nodiscard]] LinkTraits traits() const noexcept override { return inner_->traits(); }
  [[nodiscard]] Transport transport() const noexcept override { return inner_->transport(); }
  [[nodiscard]] const std::string& peer() const noexcept override { return inner_->peer(); }

 private:
  const std::unique_ptr<Link> inner_;
  std::atomic<std::int64_t>& reader_;
};

TEST(ShapedLink, AllocatesNothingToCarryBytes) {
  for (const LinkKind& kind : link_kinds()) {
    SCOPED_TRACE(kind.name);
    std::atomic<std::int64_t> reader{0};
    LinkEnds ends = kind.make();
    const auto ours =
        shape_link(std::make_unique<Witness>(std::move(ends.first), reader), {1e9, 0.1});
    const auto theirs = std::move(ends.second);
    Bytes message(3 << 20);
    Bytes reply(message.size());
    Background echo([&] {
      Bytes buffer(message.size());
      while (theirs->wait_readable(std::nullopt)) {
        theirs->receive(buffer);
        theirs->send(buffer);
      }
    });
    std::int64_t here_before = 0;
    std::int64_t reader_before = 0;
    for (int round = 0; round < 4; ++round) {
      if (round == 1) here_before = allocations_of_this_thread(), reader_before = reader;
      ours->send(message);
      ASSERT_TRUE(ours->wait_readable(std::nullopt));
      ours->receive(reply);
    }
    EXPECT_EQ(allocations_of_this_thread(), here_before);
    EXPECT_EQ(reader, reader_before);
    ours->close();
  }
}

}  // namespace
}  // namespace airlock::allocation_test
