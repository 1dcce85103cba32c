// The messages that frames carry: built and parsed as FlatBuffers, verified before they are read.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "airlock/core/device.h"
#include "airlock/core/error.h"
#include "airlock/ops/call.h"
#include "airlock/wire/compression.h"
#include "airlock/wire/frame.h"

namespace airlock {

using FingerprintBytes = std::array<std::uint8_t, 32>;

/// Runner to worker, first.
struct HelloMessage {
  static constexpr int kMaxLanes = 16;  ///< a worker agrees to no more

  FingerprintBytes fingerprint{};
  std::string client;  ///< who calls, for the worker's log
  int lanes = 1;       ///< calls the runner means to have under way at the same time
};

/// Worker to runner, in answer.
struct WelcomeMessage {
  FingerprintBytes fingerprint{};
  DType compute_dtype = DType::kF32;
  std::string backend;            ///< what it computes with, for people
  std::string worker;             ///< name and version, for people
  int lanes = 1;                  ///< calls the worker takes in before it has answered the first
  std::int64_t shared_bytes = 0;  ///< of memory it maps for this session at most; 0: none
  ProductKinds products = ProductKinds::kPlain;
};

/// Where a tensor travels: in shared memory, or (segment 0) behind its message.
struct Place {
  std::uint16_t segment = 0;  ///< as ShareMessage numbers them, from 1
  std::int64_t offset = 0;    ///< bytes from the segment's start, a multiple of 64

  [[nodiscard]] bool shared() const noexcept { return segment != 0; }
  friend bool operator==(const Place&, const Place&) = default;
};

/// How a tensor behind its message is compressed.
struct Encoding {
  Compression compression = Compression::kNone;
  std::int64_t bytes = 0;  ///< as they travel; 0 for kNone

  [[nodiscard]] bool compressed() const noexcept { return compression != Compression::kNone; }
  friend bool operator==(const Encoding&, const Encoding&) = default;
};
using Encodings = std::array<Encoding, kMaxTensors>;

/// How tensors with these encodings lie behind their message.
[[nodiscard]] inline Layout layout_of(const Encodings& encodings) noexcept {
  return std::any_of(encodings.begin(), encodings.end(),
                     [](const Encoding& encoding) { return encoding.compressed(); })
             ? Layout::kPacked
             : Layout::kAligned;
}

/// How the tensors of one call travel: what a Call message says beside the call itself.
struct Transfer {
  std::array<Place, kMaxTensors> inputs;
  std::array<Place, kMaxTensors> outputs;
  Encodings input_encodings;
  Compression reply_compression = Compression::kNone;  ///< what outputs may be compressed with
};

/// Runner to worker: a call and how it travels.
struct CallMessage {
  Call call;
  Transfer transfer;
};

/// Runner to worker, a descriptor with it: memory that calls may name from now on.
struct ShareMessage {
  /// More than a plan has tensors of different sizes, far below what a process may map.
  static constexpr std::size_t kMaxSegments = 1024;

  std::uint16_t segment = 0;
  std::int64_t bytes = 0;
};

/// Runner to worker: bytes of a tensor that means nothing, and how many are wanted back.
struct ProbeMessage {
  /// Enough to see a link's rate, too little to hold a worker up.
  static constexpr std::int64_t kMaxBytes = std::int64_t{16} << 20;

  std::int64_t bytes = 0;  ///< both multiples of 4, at most kMaxBytes
  std::int64_t reply_bytes = 0;
  Place place;
  Place reply_place;
};

/// Runner to worker: nothing more comes of a sequence.
struct EndSequenceMessage {
  std::uint32_t sequence = 0;
};

struct ReplyMessage {
  std::uint64_t worker_ns = 0;
  TensorSpecs outputs;
  Encodings encodings = {};  ///< of the outputs
};

struct FailureMessage {
  ErrorCode code = ErrorCode::kInternal;
  std::string text;
};

/// Memory of a worker, in bytes.
struct WorkerStats {
  std::int64_t weight_bytes = 0;
  std::int64_t kv_bytes = 0;  ///< of all sessions
  std::int64_t resident_bytes = 0;
  std::int64_t peak_resident_bytes = 0;
  std::int64_t sessions = 0;
};

/// Builds messages in a buffer it reuses; each `build` invalidates the bytes of the one before.
/// Not thread-safe.
class MessageBuilder {
 public:
  MessageBuilder();
  ~MessageBuilder();
  MessageBuilder(const MessageBuilder&) = delete;
  MessageBuilder& operator=(const MessageBuilder&) = delete;

  std::span<const std::byte> build(const HelloMessage& message);
  std::span<const std::byte> build(const WelcomeMessage& message);
  std::span<const std::byte> build(const Call& message, const Transfer& transfer = {});
  std::span<const std::byte> build(const ReplyMessage& message);
  std::span<const std::byte> build(const FailureMessage& message);
  std::span<const std::byte> build(const WorkerStats& message);
  std::span<const std::byte> build(const ShareMessage& message);
  std::span<const std::byte> build(const ProbeMessage& message);
  std::span<const std::byte> build(const EndSequenceMessage& message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Each parses one kind of message from a peer, checking structure and enumerations, not whether
/// the call makes sense (infer_outputs does). Texts are cut to 2000 bytes of printable ASCII.
/// Throws Error(kProtocol) naming the message. Bytes must be 8-byte aligned.
HelloMessage parse_hello(std::span<const std::byte> bytes);
WelcomeMessage parse_welcome(std::span<const std::byte> bytes);
/// Places are not checked against segments here.
CallMessage parse_call_message(std::span<const std::byte> bytes);
inline Call parse_call(std::span<const std::byte> bytes) {
  return parse_call_message(bytes).call;
}
ReplyMessage parse_reply(std::span<const std::byte> bytes);
FailureMessage parse_failure(std::span<const std::byte> bytes);
WorkerStats parse_stats(std::span<const std::byte> bytes);
ShareMessage parse_share(std::span<const std::byte> bytes);
/// Checks the limits on bytes, too; places are not checked against segments here.
ProbeMessage parse_probe(std::span<const std::byte> bytes);
EndSequenceMessage parse_end_sequence(std::span<const std::byte> bytes);

}  // namespace airlock
