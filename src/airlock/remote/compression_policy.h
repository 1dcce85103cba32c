// Whether compressing a tensor pays on this link: decided per operator and direction from what was
// measured on its own data.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"
#include "airlock/ops/call.h"
#include "airlock/wire/codec.h"

namespace airlock {

/// What `--compress` says.
enum class CompressMode : std::uint8_t { kNone, kZstd, kAuto };
/// Of "none", "zstd" or "auto". Throws Error(kInvalidArgument).
CompressMode parse_compress_mode(std::string_view name);

/// What a trial of zstd on a piece of a tensor gave.
struct CodecTrial {
  double ratio = 1;        ///< raw / encoded
  double encode_rate = 0;  ///< raw bytes per second
  double decode_rate = 0;
};

/// ms that a tensor of `bytes` takes over a link of `rate` bytes/s (0: unlimited), as it is and
/// compressed: encoded, sent and decoded one after the other, which is what it costs when nothing
/// overlaps and an upper bound when something does.
[[nodiscard]] double plain_ms(double bytes, double rate) noexcept;
[[nodiscard]] double compressed_ms(double bytes, double rate, const CodecTrial& trial) noexcept;

/// Remembers, for each operator, matrix and tensor of a call, what compression would do. zstd
/// compresses every float tensor; auto compresses where compressed_ms is below plain_ms by a
/// margin, for data tried at first use and again every kTrialEvery calls. Allocates only at first
/// use of a shape. Not thread-safe.
class CompressionPolicy {
 public:
  /// Tensors below it are never worth the trouble.
  static constexpr std::int64_t kLeastBytes = 16384;
  static constexpr int kTrialEvery = 64;

  CompressionPolicy() = default;
  /// Rates of the link in bytes per second, 0: unlimited.
  CompressionPolicy(CompressMode mode, double send_rate, double receive_rate)
      : mode_(mode), rates_{send_rate, receive_rate} {}

  /// For input `index` of `call`, whose wire form is `raw`.
  [[nodiscard]] Compression for_input(const Call& call, std::size_t index, ConstTensor raw,
                                      TensorCodec& codec, const BufferPool& pool);
  /// For all outputs of `call`, from what its earlier outputs were like; kNone until some were
  /// seen.
  [[nodiscard]] Compression for_reply(const Call& call, std::int64_t reply_bytes) const;
  /// Tells of output `index` of `call` that arrived.
  void saw_output(const Call& call, std::size_t index, ConstTensor raw, TensorCodec& codec,
                  const BufferPool& pool);

 private:
  enum Direction : std::size_t { kOut, kIn };
  struct Verdict {
    Compression compression = Compression::kNone;
    int calls_until_trial = 0;
  };
  /// kOpCount operators, of BatchLinear one for each first matrix.
  static constexpr std::size_t kKinds = kOpCount + kWeightCount;

  static std::size_t kind_of(const Call& call) noexcept;
  Verdict& verdict(Direction direction, const Call& call, std::size_t index) {
    return verdicts_[direction][kind_of(call)][index];
  }
  void consider(Verdict& verdict, double rate, ConstTensor raw, TensorCodec& codec,
                const BufferPool& pool) const;

  CompressMode mode_ = CompressMode::kNone;
  std::array<double, 2> rates_{};
  std::array<std::array<std::array<Verdict, kMaxTensors>, kKinds>, 2> verdicts_{};
};

/// Encodes and decodes a piece of `raw` (some blocks from its middle), timed.
[[nodiscard]] CodecTrial try_codec(ConstTensor raw, TensorCodec& codec, const BufferPool& pool);

}  // namespace airlock
