// The messages that frames carry: built and parsed as FlatBuffers, verified before they are read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "airlock/core/error.h"
#include "airlock/wire/call.h"

namespace airlock {

using FingerprintBytes = std::array<std::uint8_t, 32>;

/// Runner to worker, first.
struct HelloMessage {
  FingerprintBytes fingerprint{};
  std::string client;  ///< who calls, for the worker's log
};

/// Worker to runner, in answer.
struct WelcomeMessage {
  FingerprintBytes fingerprint{};
  DType compute_dtype = DType::kF32;
  std::string backend;  ///< what it computes with, for people
  std::string worker;   ///< name and version, for people
};

struct ReplyMessage {
  std::uint64_t worker_ns = 0;
  TensorSpecs outputs;
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
  std::span<const std::byte> build(const Call& message);
  std::span<const std::byte> build(const ReplyMessage& message);
  std::span<const std::byte> build(const FailureMessage& message);
  std::span<const std::byte> build(const WorkerStats& message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Each parses one kind of message from a peer, checking structure and enumerations, not whether
/// the call makes sense (infer_outputs does). Texts are cut to 2000 bytes of printable ASCII.
/// Throws Error(kProtocol) naming the message. Bytes must be 8-byte aligned.
HelloMessage parse_hello(std::span<const std::byte> bytes);
WelcomeMessage parse_welcome(std::span<const std::byte> bytes);
Call parse_call(std::span<const std::byte> bytes);
ReplyMessage parse_reply(std::span<const std::byte> bytes);
FailureMessage parse_failure(std::span<const std::byte> bytes);
WorkerStats parse_stats(std::span<const std::byte> bytes);

}  // namespace airlock
