#include "airlock/remote/compression_policy.h"

#include <algorithm>
#include <chrono>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

constexpr std::array<std::string_view, 3> kModeNames = {"none", "zstd", "auto"};

/// Compression has to win by a tenth before it is switched on: rates drift, and it costs both
/// sides cores that a plain copy leaves free.
constexpr double kMargin = 0.9;

/// Raw bytes of a trial: enough blocks for every thread, about a millisecond.
constexpr std::int64_t kTrialBytes = 512 << 10;

double seconds_since(Clock::time_point began) {
  return std::max(std::chrono::duration<double>(Clock::now() - began).count(), 1e-9);
}

/// Whole rows from the middle of `raw`, about kTrialBytes of them. int8 tensors keep their scales
/// behind all elements, so that no piece of them is one: they are taken whole.
ConstTensor piece_of(ConstTensor raw) {
  const Shape& shape = raw.spec.shape;
  const std::int64_t bytes = raw.bytes();
  if (bytes <= kTrialBytes || raw.spec.dtype == DType::kI8 || shape.rank() == 0) return raw;
  const std::int64_t width = shape[shape.rank() - 1];
  const std::int64_t row = width * static_cast<std::int64_t>(dtype_size(raw.spec.dtype));
  const std::int64_t rows = bytes / row;
  const std::int64_t wanted = std::clamp<std::int64_t>(kTrialBytes / row, 1, rows);
  return {{raw.spec.dtype, {wanted, width}}, raw.data + (rows - wanted) / 2 * row};
}
}  // namespace

CompressMode parse_compress_mode(std::string_view name) {
  for (std::size_t i = 0; i < kModeNames.size(); ++i) {
    if (kModeNames[i] == name) return static_cast<CompressMode>(i);
  }
  require(name != "lz4", ErrorCode::kInvalidArgument,
          "compression by lz4 was removed, use zstd (which packs smaller) or auto");
  fail(ErrorCode::kInvalidArgument, "unknown compression `{}`{}, expected one of {}", name,
       suggest(name, kModeNames), fmt::join(kModeNames, ", "));
}

double plain_ms(double bytes, double rate) noexcept {
  return rate > 0 ? bytes / rate * 1e3 : 0;
}

double compressed_ms(double bytes, double rate, const CodecTrial& trial) noexcept {
  return plain_ms(bytes / trial.ratio, rate) +
         bytes * (1 / trial.encode_rate + 1 / trial.decode_rate) * 1e3;
}

CodecTrial try_codec(ConstTensor raw, TensorCodec& codec, const BufferPool& pool) {
  const ConstTensor piece = piece_of(raw);
  const Buffer encoded = pool.acquire(encoded_bound(piece.spec));
  const auto bytes = static_cast<double>(piece.bytes());
  const Buffer decoded = pool.acquire(static_cast<std::size_t>(piece.bytes()));
  const auto began = Clock::now();
  const std::size_t size = codec.encode(Compression::kZstd, piece, encoded.span());
  const double encode_s = seconds_since(began);
  const auto halfway = Clock::now();
  codec.decode(Compression::kZstd, encoded.span().first(size), {piece.spec, decoded.data()});
  return {bytes / static_cast<double>(size), bytes / encode_s, bytes / seconds_since(halfway)};
}

std::size_t CompressionPolicy::kind_of(const Call& call) noexcept {
  if (call.op == Op::kBatchLinear && !call.weights.empty()) {
    return kOpCount + static_cast<std::size_t>(call.weights[0]);
  }
  // The two products of attention move different data: scores and probabilities.
  if (call.op == Op::kMatmul && call.transpose_b) return static_cast<std::size_t>(Op::kBatchLinear);
  return static_cast<std::size_t>(call.op);
}

void CompressionPolicy::consider(Verdict& verdict, double rate, ConstTensor raw, TensorCodec& codec,
                                 const BufferPool& pool) const {
  if (verdict.calls_until_trial-- > 0) return;
  verdict = {Compression::kNone, kTrialEvery - 1};
  const auto bytes = static_cast<double>(raw.bytes());
  const double plain = plain_ms(bytes, rate);
  const double compressed = compressed_ms(bytes, rate, try_codec(raw, codec, pool));
  if (compressed < kMargin * plain) verdict.compression = Compression::kZstd;
}

Compression CompressionPolicy::for_input(const Call& call, std::size_t index, ConstTensor raw,
                                         TensorCodec& codec, const BufferPool& pool) {
  if (mode_ == CompressMode::kNone || raw.bytes() < kLeastBytes) return Compression::kNone;
  if (mode_ == CompressMode::kZstd) return Compression::kZstd;
  if (rates_[kOut] <= 0) return Compression::kNone;
  Verdict& known = verdict(kOut, call, index);
  consider(known, rates_[kOut], raw, codec, pool);
  return known.compression;
}

Compression CompressionPolicy::for_reply(const Call& call, std::int64_t reply_bytes) const {
  if (mode_ == CompressMode::kNone || reply_bytes < kLeastBytes) return Compression::kNone;
  if (mode_ == CompressMode::kZstd) return Compression::kZstd;
  // All outputs of a call or none: they are alike (q, k, v; gate, up).
  const auto& outputs = verdicts_[kIn][kind_of(call)];
  const bool any = std::any_of(outputs.begin(), outputs.end(), [](const Verdict& verdict) {
    return verdict.compression != Compression::kNone;
  });
  return any ? Compression::kZstd : Compression::kNone;
}

void CompressionPolicy::saw_output(const Call& call, std::size_t index, ConstTensor raw,
                                   TensorCodec& codec, const BufferPool& pool) {
  if (mode_ != CompressMode::kAuto || rates_[kIn] <= 0 || raw.bytes() < kLeastBytes) return;
  consider(verdict(kIn, call, index), rates_[kIn], raw, codec, pool);
}

}  // namespace airlock
