#include "airlock/wire/plane_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include <lz4.h>
// For workspaces of our own, and for Huffman coding at zstd's fastest.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

/// Skips faster through what does not match than lz4's default, at no loss on planes of floats.
constexpr int kLz4Acceleration = 4;

/// A plane is worth the time if a sixteenth of it goes: that pays on links below some 25 MB/s.
constexpr double kWorthwhile = 15.0 / 16;

void check_zstd(std::size_t result) {
  require(ZSTD_isError(result) == 0, ErrorCode::kInternal, "zstd: {}", ZSTD_getErrorName(result));
}

/// Set once: they fix the compressor's memory. Matches between bytes of low entropy are chance, and
/// dearer than their Huffman codes, so the search looks for long ones only, at one position in 64
/// (measured on exponents of activations: six times the speed of level 1, and a better ratio).
template <typename Set>
void set_parameters(const Set& set) {
  set(ZSTD_c_strategy, ZSTD_fast);
  set(ZSTD_c_windowLog, std::bit_width(PlaneCodec::kMaxPlane) - 1);
  set(ZSTD_c_hashLog, 13);
  set(ZSTD_c_chainLog, ZSTD_CHAINLOG_MIN);  // not used by this strategy
  set(ZSTD_c_minMatch, 7);
  set(ZSTD_c_targetLength, 64);
  set(ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
}

std::size_t compressor_bytes() {
  const std::unique_ptr<ZSTD_CCtx_params, decltype(&ZSTD_freeCCtxParams)> params(
      ZSTD_createCCtxParams(), ZSTD_freeCCtxParams);
  require(params != nullptr, ErrorCode::kResourceExhausted, "zstd: no memory");
  set_parameters([&](ZSTD_cParameter name, int value) {
    check_zstd(ZSTD_CCtxParams_setParameter(params.get(), name, value));
  });
  const std::size_t bytes = ZSTD_estimateCCtxSize_usingCCtxParams(params.get());
  check_zstd(bytes);
  return bytes;
}

bool is_repeated(std::span<const std::byte> bytes) {
  return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

/// Order-0 entropy over 8: the size, of 1, to which a Huffman coder brings such bytes at best.
double entropy_ratio(std::span<const std::byte> bytes) {
  // Two histograms, so that runs of a byte do not wait for their own counter.
  std::array<std::array<std::uint32_t, 256>, 2> counts{};
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    ++counts[0][static_cast<std::size_t>(bytes[i])];
    ++counts[1][static_cast<std::size_t>(bytes[i + 1])];
  }
  if (bytes.size() % 2 != 0) ++counts[0][static_cast<std::size_t>(bytes.back())];
  const auto total = static_cast<float>(bytes.size());
  float sum = 0;
  float symbols = 0;
  for (std::size_t s = 0; s < 256; ++s) {
    const std::uint32_t count = counts[0][s] + counts[1][s];
    if (count == 0) continue;
    const auto c = static_cast<float>(count);
    sum += c * std::log2(c);
    ++symbols;
  }
  // A sample shows too little of its entropy; Miller and Madow's correction.
  const float bits = std::log2(total) - sum / total + (symbols - 1) * 0.7213F / total;
  return static_cast<double>(bits) / 8;
}

const char* decode_lz4(std::span<const std::byte> packed, std::span<std::byte> plane) {
  const int bytes = LZ4_decompress_safe(
      reinterpret_cast<const char*>(packed.data()), reinterpret_cast<char*>(plane.data()),
      static_cast<int>(packed.size()), static_cast<int>(plane.size()));
  if (bytes < 0) return "not a block of lz4, or too long a one";
  return static_cast<std::size_t>(bytes) == plane.size() ? nullptr : "too short a block of lz4";
}

/// nullptr if the bytes claim to be one frame of zstd that holds `plane_bytes`.
const char* check_frame(std::span<const std::byte> packed, std::size_t plane_bytes) {
  // The magic number first: zstd would also read its ancestors' frames, and frames to be skipped.
  std::uint32_t magic = 0;
  if (packed.size() >= sizeof(magic)) std::memcpy(&magic, packed.data(), sizeof(magic));
  if (magic != ZSTD_MAGICNUMBER) return "not a frame of zstd";
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != plane_bytes) {
    return "a frame of zstd of another length";
  }
  return ZSTD_findFrameCompressedSize(packed.data(), packed.size()) == packed.size()
             ? nullptr
             : "not exactly one frame of zstd";
}

}  // namespace

PlaneCodec::PlaneCodec()
    : lz4_state_(BufferPool().acquire(static_cast<std::size_t>(LZ4_sizeofState()))),
      trial_(BufferPool().acquire(kMaxSample)),
      compressor_memory_(BufferPool().acquire(compressor_bytes())),
      decompressor_memory_(BufferPool().acquire(ZSTD_estimateDCtxSize())),
      compressor_(ZSTD_initStaticCCtx(compressor_memory_.data(), compressor_memory_.size())),
      decompressor_(ZSTD_initStaticDCtx(decompressor_memory_.data(), decompressor_memory_.size())) {
  require(compressor_ != nullptr && decompressor_ != nullptr, ErrorCode::kInternal,
          "zstd: refuses the memory it asked for");
  // A context in memory of ours starts without zstd's defaults: no length in its frames.
  check_zstd(ZSTD_CCtx_reset(compressor_, ZSTD_reset_session_and_parameters));
  set_parameters([&](ZSTD_cParameter name, int value) {
    check_zstd(ZSTD_CCtx_setParameter(compressor_, name, value));
  });
}

PlaneMethod PlaneCodec::judge(bool zstd, std::span<const std::byte> sample) noexcept {
  if (is_repeated(sample)) return PlaneMethod::kRepeated;
  const std::size_t matched = pack_lz4(sample, trial_.data());
  const double by_lz4 =
      matched == 0 ? 1 : static_cast<double>(matched) / static_cast<double>(sample.size());
  const double by_zstd = zstd ? entropy_ratio(sample) : 1;
  if (std::min(by_lz4, by_zstd) > kWorthwhile) return PlaneMethod::kStored;
  return by_zstd < by_lz4 ? PlaneMethod::kZstd : PlaneMethod::kLz4;
}

PackedPlane PlaneCodec::encode(PlaneMethod method, std::span<const std::byte> plane,
                               std::byte* out) noexcept {
  if (method == PlaneMethod::kRepeated) {
    if (is_repeated(plane)) {
      out[0] = plane[0];
      return {method, 1};
    }
    method = PlaneMethod::kLz4;
  }
  std::size_t bytes = 0;
  if (method == PlaneMethod::kLz4) bytes = pack_lz4(plane, out);
  if (method == PlaneMethod::kZstd) bytes = pack_zstd(plane, out);
  if (bytes != 0) return {method, bytes};
  std::memcpy(out, plane.data(), plane.size());
  return {PlaneMethod::kStored, plane.size()};
}

std::size_t PlaneCodec::pack_lz4(std::span<const std::byte> plane, std::byte* out) noexcept {
  const auto bytes = static_cast<int>(plane.size());
  return static_cast<std::size_t>(
      LZ4_compress_fast_extState(lz4_state_.data(), reinterpret_cast<const char*>(plane.data()),
                                 reinterpret_cast<char*>(out), bytes, bytes - 1, kLz4Acceleration));
}

std::size_t PlaneCodec::pack_zstd(std::span<const std::byte> plane, std::byte* out) noexcept {
  const std::size_t bytes =
      ZSTD_compress2(compressor_, out, plane.size() - 1, plane.data(), plane.size());
  return ZSTD_isError(bytes) != 0 ? 0 : bytes;
}

const char* PlaneCodec::decode(PlaneMethod method, std::span<const std::byte> packed,
                               std::span<std::byte> plane) noexcept {
  if (method == PlaneMethod::kLz4) return decode_lz4(packed, plane);
  if (method == PlaneMethod::kZstd) {
    const char* wrong = check_frame(packed, plane.size());
    if (wrong != nullptr) return wrong;
    const std::size_t bytes = ZSTD_decompressDCtx(decompressor_, plane.data(), plane.size(),
                                                  packed.data(), packed.size());
    return bytes == plane.size() ? nullptr : "a broken frame of zstd";
  }
  std::memset(plane.data(), static_cast<int>(packed[0]), plane.size());
  return nullptr;
}

}  // namespace airlock
