// Tensors that travel compressed between a client and a server: same answers, fewer bytes, and
// peers that lie about it.
#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/remote/client.h"
#include "airlock/worker/server.h"

#include "tests/support/link_pair.h"
#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"

namespace airlock::compression_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_fingerprint;

/// Tensors of some 100 KiB of small integers: they shrink.
ModelConfig wide_config() {
  ModelConfig config = testing::small_config();
  config.hidden = 512;
  config.head_dim = 96;
  config.ffn = 768;
  config.vocab = 1024;
  return config;
}
constexpr std::int64_t kTokens = 40;

/// A client with a FakeBackend's server behind it.
class Split {
 public:
  Split(Transport transport, const ClientOptions& options)
      : server_(backend_, small_fingerprint(), {}) {
    backend_.model = wide_config();
    auto ends = testing::make_ends(transport);
    thread_ = std::thread(
        [this, end = std::move(ends.second)]() mutable { server_.serve(std::move(end)); });
    client = std::make_unique<RemoteClient>(std::move(ends.first), wide_config(),
                                            small_fingerprint(), options, &ledger);
  }
  ~Split() {
    client.reset();
    thread_.join();
  }
  Split(const Split&) = delete;
  Split& operator=(const Split&) = delete;

  MemoryLedger ledger;
  std::unique_ptr<RemoteClient> client;

 private:
  testing::FakeBackend backend_;
  Server server_;
  std::thread thread_;
};

/// Every operator once with tensors that travel as `wire`, answers checked.
void call_all(RemoteClient& client, DType wire) {
  std::uint64_t seed = 1;
  for (const auto& legal : testing::legal_calls(wide_config(), kTokens, wire)) {
    testing::CallMemory memory(wide_config(), legal.call, seed++);
    client.execute(legal.call, memory.inputs, memory.outputs);
    // Narrow wires round the sums: only f32 must be exact.
    if (wire == DType::kF32) {
      EXPECT_TRUE(memory.answered()) << describe(legal.call);
    }
  }
}

class Compressed : public ::testing::TestWithParam<Transport> {};

TEST_P(Compressed, EveryOperatorAnswersTheSameInFewerBytes) {
  const Transport transport = GetParam();
  ClientOptions options;
  options.compress = CompressMode::kZstd;
  for (const DType wire : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    Split plain(transport, {});
    Split split(transport, options);
    call_all(*plain.client, wire);
    call_all(*split.client, wire);
    std::int64_t raw = 0;
    std::int64_t travelled = 0;
    for (std::size_t i = 0; i < split.ledger.entries().size(); ++i) {
      const LedgerEntry& a = plain.ledger.entries()[i];
      const LedgerEntry& b = split.ledger.entries()[i];
      EXPECT_EQ(a.sent_bytes, b.sent_bytes) << i;
      EXPECT_EQ(a.received_bytes, b.received_bytes) << i;
      EXPECT_EQ(a.sent_wire_bytes, a.sent_bytes);
      EXPECT_EQ(a.received_wire_bytes, a.received_bytes);
      EXPECT_LE(b.sent_wire_bytes, b.sent_bytes) << i;
      EXPECT_LE(b.received_wire_bytes, b.received_bytes) << i;
      EXPECT_LE(b.overhead_bytes, 2 * 256) << i;
      raw += b.sent_bytes + b.received_bytes;
      travelled += b.sent_wire_bytes + b.received_wire_bytes;
    }
    if (transport == Transport::kShm) {
      EXPECT_EQ(travelled, raw) << "what lies in shared memory is not compressed";
    } else {
      EXPECT_LT(travelled, raw * 3 / 4) << dtype_name(wire);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Links, Compressed,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm,
                                           Transport::kTcp),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST(CompressedAuto, IsUsedOnASlowLinkAndNotOnAFastOne) {
  for (const double rate : {1e6, 1e12}) {
    ClientOptions options;
    options.compress = CompressMode::kAuto;
    options.profile = LinkProfile{0.1, rate, rate, 0, LinkProfile::kNever};
    Split split(Transport::kUnix, options);
    for (int round = 0; round < 2; ++round) call_all(*split.client, DType::kF32);
    const LedgerEntry& mlp = split.ledger.entries()[split.ledger.entries().size() - 2];
    EXPECT_EQ(mlp.sent_wire_bytes < mlp.sent_bytes, rate < 1e9) << rate;
    EXPECT_EQ(mlp.received_wire_bytes < mlp.received_bytes, rate < 1e9) << rate;
  }
}

/// Answers calls of the ring with zeros, which would shrink.
class ZeroBackend final : public testing::FakeBackend {
 public:
  void execute(const Call&, std::span<BackendSequence* const>, std::span<const ConstTensor>,
               std::span<const Tensor> outputs) override {
    for (const Tensor& output : outputs) {
      std::memset(output.data, 0, static_cast<std::size_t>(output.bytes()));
    }
  }
  [[nodiscard]] ProductKinds products() const override { return ProductKinds::kAll; }
};

TEST(CompressedRing, TravelsAsItIsWhateverIsAskedFor) {
  for (const CompressMode mode : {CompressMode::kZstd, CompressMode::kAuto}) {
    ClientOptions options;
    options.compress = mode;
    options.profile = LinkProfile{0.1, 1e3, 1e3, 0, LinkProfile::kNever};  // compression pays
    MemoryLedger ledger;
    ZeroBackend backend;
    backend.model = wide_config();
    Server server(backend, small_fingerprint(), {});
    auto ends = testing::make_ends(Transport::kUnix);
    std::thread serving([&] { server.serve(std::move(ends.second)); });
    {
      RemoteClient client(std::move(ends.first), wide_config(), small_fingerprint(), options,
                          &ledger);
      for (const DType sent : {DType::kRing, DType::kI16}) {
        for (const DType reply : {DType::kRing, DType::kRing16}) {
          Call call;
          call.op = Op::kRingLinear;
          call.layer = 0;
          call.weights = {Weight::kGate, Weight::kUp};
          call.inputs = {{sent, {kTokens, wide_config().hidden}}};
          call.reply_dtype = reply;
          const TensorSpec spec{reply, {kTokens, wide_config().ffn}};
          const auto bytes = static_cast<std::size_t>(spec.bytes());
          std::vector<std::byte> x(static_cast<std::size_t>(call.inputs[0].bytes()));
          std::vector<std::byte> gate(bytes, std::byte{1});
          std::vector<std::byte> up(bytes, std::byte{1});
          const ConstTensor input{call.inputs[0], x.data()};
          const std::array<Tensor, 2> outputs = {Tensor{spec, gate.data()}, {spec, up.data()}};
          for (int round = 0; round < 2; ++round) client.execute(call, {&input, 1}, outputs);
          EXPECT_EQ(gate, std::vector<std::byte>(bytes));
          EXPECT_EQ(up, std::vector<std::byte>(bytes));
        }
      }
    }
    serving.join();
    ASSERT_EQ(ledger.entries().size(), 8U);
    for (const LedgerEntry& entry : ledger.entries()) {
      EXPECT_EQ(entry.sent_wire_bytes, entry.sent_bytes);
      EXPECT_EQ(entry.received_wire_bytes, entry.received_bytes);
    }
  }
}

TEST(CompressedAuto, WithoutAProfileOfTheLinkNothingIsCompressed) {
  ClientOptions options;
  options.compress = CompressMode::kAuto;
  Split split(Transport::kUnix, options);
  call_all(*split.client, DType::kF32);
  for (const LedgerEntry& entry : split.ledger.entries()) {
    EXPECT_EQ(entry.sent_wire_bytes, entry.sent_bytes);
    EXPECT_EQ(entry.received_wire_bytes, entry.received_bytes);
  }
}

/// A worker that answers a GatedMlp call with `reply` and `payload`, and what the client says.
Error lied_to(const ClientOptions& options, const ReplyMessage& reply, const Bytes& payload) {
  auto ends = testing::make_ends(Transport::kUnix);
  std::thread worker([&, end = std::move(ends.second)]() mutable {
    RawPeer peer(std::move(end));
    try {
      peer.read();
      peer.send(FrameType::kWelcome, 0,
                message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "raw", "raw"}));
      const auto call = peer.read();
      peer.send(FrameType::kReply, call->header.request_id, message_bytes(reply), payload);
      while (peer.read()) {
      }
    } catch (const Error&) {  // the client gave up
    }
  });
  Error caught(ErrorCode::kInternal, "no error");
  {
    RemoteClient client(std::move(ends.first), wide_config(), small_fingerprint(), options,
                        nullptr);
    const auto calls = testing::legal_calls(wide_config(), kTokens, DType::kF32);
    testing::CallMemory memory(wide_config(), calls[10].call, 1);
    try {
      client.execute(calls[10].call, memory.inputs, memory.outputs);
    } catch (const Error& error) {
      caught = error;
    }
  }
  worker.join();
  return caught;
}

TEST(CompressedReply, OneThatNobodyAskedForOrThatIsUnsoundEndsTheSession) {
  const auto calls = testing::legal_calls(wide_config(), kTokens, DType::kF32);
  const TensorSpecs& outputs = calls[10].outputs;
  ClientOptions zstd;
  zstd.compress = CompressMode::kZstd;
  const auto reply = [&](Compression compression, std::int64_t bytes) {
    return ReplyMessage{0, outputs, {Encoding{compression, bytes}}};
  };
  const std::int64_t past = static_cast<std::int64_t>(encoded_bound(outputs[0])) + 1;
  const struct {
    ClientOptions options;
    ReplyMessage reply;
    std::size_t payload;
    const char* text;
  } cases[] = {
      {{}, reply(Compression::kZstd, 100), 100, "compressed an output into 100 bytes of zstd"},
      {zstd, reply(Compression::kZstd, past), static_cast<std::size_t>(past),
       "compressed an output"},
      {zstd, reply(Compression::kZstd, 100), 100, "a tensor [40, 512] of f32"},
      {zstd, reply(Compression::kZstd, 100), 99, "carries 99 bytes"},
  };
  for (const auto& c : cases) {
    const Error error = lied_to(c.options, c.reply, Bytes(c.payload, std::byte{0x5a}));
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
    EXPECT_NE(std::string(error.what()).find(c.text), std::string::npos) << error.what();
  }
}

/// What a server answers a GatedMlp call that says its input is `encoding`, with `payload`.
FailureMessage refused(const Encoding& encoding, const Bytes& payload,
                       const ServerOptions& options = {}) {
  testing::FakeBackend backend;
  backend.model = wide_config();
  Server server(backend, small_fingerprint(), options);
  auto ends = testing::make_ends(Transport::kUnix);
  std::thread thread([&, end = std::move(ends.second)]() mutable { server.serve(std::move(end)); });
  FailureMessage failure;
  {
    RawPeer peer(std::move(ends.first));
    peer.hello(small_fingerprint());
    peer.read();
    MessageBuilder builder;
    Transfer transfer;
    transfer.input_encodings[0] = encoding;
    const auto calls = testing::legal_calls(wide_config(), kTokens, DType::kF32);
    const Bytes message = testing::copy_of(builder.build(calls[10].call, transfer));
    peer.send(FrameType::kCall, 1, message, payload);
    failure = peer.read_failure();
    // The session goes on: the next call is answered.
    peer.send(FrameType::kStatsRequest, 2, {});
    EXPECT_EQ(peer.read()->header.type, FrameType::kStats);
  }
  thread.join();
  return failure;
}

TEST(CompressedRequest, AnUnsoundOneIsRefusedAndTheSessionGoesOn) {
  const std::int64_t raw = kTokens * wide_config().hidden * 4;
  const struct {
    Encoding encoding;
    std::size_t payload;
    const char* text;
  } cases[] = {
      {{Compression::kZstd, 100}, 100, "a tensor [40, 512] of f32"},
      {{Compression::kZstd, 100}, 64, "take 100 bytes, the frame carries 64"},
      {{Compression::kZstd, 2 * raw}, 64, "comes compressed in"},
      {{Compression::kNone, 100}, 100, "the frame carries 100"},
  };
  for (const auto& c : cases) {
    const FailureMessage failure = refused(c.encoding, Bytes(c.payload, std::byte{0x5a}));
    EXPECT_EQ(failure.code, ErrorCode::kProtocol) << failure.text;
    EXPECT_NE(failure.text.find(c.text), std::string::npos) << failure.text;
  }
}

TEST(CompressedRequest, AFewBytesThatClaimMoreThanAPayloadMayHoldAreRefused) {
  ServerOptions options;
  options.max_payload = 1 << 16;
  const FailureMessage failure = refused({Compression::kZstd, 100}, Bytes(100), options);
  EXPECT_EQ(failure.code, ErrorCode::kResourceExhausted);
  EXPECT_NE(failure.text.find("--max-payload"), std::string::npos) << failure.text;
}

}  // namespace
}  // namespace airlock::compression_test
