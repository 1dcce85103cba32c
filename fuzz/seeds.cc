// fuzz_seeds DIR: writes valid inputs into DIR/NAME/ for every fuzz target that reads messages, and
// the few texts that others start from. Checkpoints of tests/data are added by tools/fuzz_smoke.sh.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "airlock/ops/rules.h"
#include "airlock/wire/codec.h"

#include "tests/support/raw_peer.h"
#include "tests/support/small_model.h"
#include "tests/support/tensor_contents.h"

namespace airlock {
namespace {

using testing::Bytes;
using testing::message_bytes;

void write(const std::filesystem::path& dir, const Bytes& bytes) {
  static int number = 0;
  std::filesystem::create_directories(dir);
  std::ofstream file(dir / fmt::format("seed-{:03}", number++), std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

/// A frame in the form that fuzz/input.h reads.
void add(Bytes& input, FrameType type, std::uint64_t id, Bytes message, const TensorSpecs& specs) {
  while (message.size() % 8 != 0) message.push_back(std::byte{0});
  std::vector<std::int64_t> sizes;
  for (const TensorSpec& spec : specs) sizes.push_back(spec.bytes());
  const std::uint64_t payload = payload_bytes_of(sizes);
  for (const std::uint64_t value :
       {static_cast<std::uint64_t>(type), id, message.size() / 8, payload % 256, payload / 256}) {
    input.push_back(static_cast<std::byte>(value));
  }
  testing::append(input, message);
}

Bytes tagged(unsigned char tag, const Bytes& bytes) {
  Bytes all = {static_cast<std::byte>(tag)};
  testing::append(all, bytes);
  return all;
}

/// Packed tensors, and tensors to pack, in the form that codec_fuzz.cc reads.
void write_tensors(const std::filesystem::path& dir) {
  TensorCodec codec;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (const auto& content : testing::kTensorContents) {
      const TensorSpec spec{dtype, {3, 300}};
      const Bytes raw = content.make(spec);
      Bytes packed(encoded_bound(spec));
      packed.resize(codec.encode(Compression::kZstd, {spec, raw.data()}, packed));
      for (const bool back : {false, true}) {
        Bytes input;
        for (const int value :
             {back ? 1 : 0, 1, static_cast<int>(dtype), 3, 300 % 256, 300 / 256, 0}) {
          input.push_back(static_cast<std::byte>(value));
        }
        testing::append(input, back ? raw : packed);
        write(dir, input);
      }
    }
  }
}

void write_all(const std::filesystem::path& dir) {
  write_tensors(dir / "codec");
  const ModelConfig config = testing::small_config();
  const Bytes hello = message_bytes(HelloMessage{testing::small_fingerprint(), "seed"});
  const Bytes welcome =
      message_bytes(WelcomeMessage{testing::small_fingerprint(), DType::kF32, "cpu", "seed"});
  const Bytes failure = message_bytes(FailureMessage{ErrorCode::kSessionLost, "lost"});
  const Bytes stats = message_bytes(WorkerStats{1, 2, 3, 4, 5});
  write(dir / "wire", tagged(0, testing::frame_bytes(FrameType::kCall, 3, {})));
  write(dir / "wire", tagged(1, hello));
  write(dir / "wire", tagged(2, welcome));
  write(dir / "wire", tagged(5, failure));
  const Bytes end = message_bytes(EndSequenceMessage{7});
  write(dir / "wire", tagged(6, end));
  write(dir / "wire", tagged(7, stats));
  Bytes runner = {std::byte{1}, std::byte{1}};
  Bytes worker = {std::byte{1}, std::byte{1}};
  std::uint64_t id = 1;
  for (const DType dtype : {DType::kF32, DType::kI8}) {
    for (const auto& [call, outputs] : testing::legal_calls(config, 3, dtype)) {
      write(dir / "wire", tagged(3, message_bytes(call)));
      write(dir / "wire", tagged(4, message_bytes(ReplyMessage{1, outputs})));
      Bytes one = {std::byte{1}, std::byte{1}};
      add(one, FrameType::kCall, 1, message_bytes(call), call.inputs);
      write(dir / "conversation", one);
      add(runner, FrameType::kCall, id, message_bytes(call), call.inputs);
      // The client of client_fuzz.cc leaves Matmul out.
      if (call.op == Op::kMatmul) continue;
      add(worker, FrameType::kReply, id++, message_bytes(ReplyMessage{1, outputs}), outputs);
    }
  }
  Call batch = testing::legal_calls(config, 3, DType::kF32)[9].call;
  batch.ranges = {{7, 1, 0}, {8, 2, 0}};
  write(dir / "wire", tagged(3, message_bytes(batch)));
  add(runner, FrameType::kCall, id, message_bytes(batch), batch.inputs);
  batch.ranges = {{8, 2, 2}, {9, 1, 0}};
  add(runner, FrameType::kEndSequence, id, end, {});
  add(runner, FrameType::kCall, id, message_bytes(batch), batch.inputs);
  add(runner, FrameType::kStatsRequest, id, {}, {});
  add(worker, FrameType::kStats, id, stats, {});
  write(dir / "conversation", runner);
  write(dir / "client", worker);
  Bytes refusing = {std::byte{1}, std::byte{1}};
  add(refusing, FrameType::kFailure, 1, failure, {});
  write(dir / "client", refusing);
  write(dir / "conversation",
        tagged(0, tagged(0, testing::frame_bytes(FrameType::kHello, 0, hello))));
  write(dir / "client",
        tagged(0, tagged(0, testing::frame_bytes(FrameType::kWelcome, 0, welcome))));
  for (const char* text : {"inproc:name", "unix:///run/airlock.sock", "unix://@name",
                           "tcp://127.0.0.1:7000", "tcp://[::1]:0", "tls://host.example:443"}) {
    write(dir / "uri", testing::bytes_of(text));
  }
  write(dir / "safetensors",
        testing::bytes_of("\x01\x08{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\","
                          "\"shape\":[2,2],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"BF16\","
                          "\"shape\":[4],\"data_offsets\":[16,24]}}"));
}

}  // namespace
}  // namespace airlock

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: fuzz_seeds DIR\n", stderr);
    return 2;
  }
  airlock::write_all(argv[1]);
  return 0;
}
