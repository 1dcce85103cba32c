#include "airlock/wire/plane_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

// For workspaces of our own, and for Huffman coding at zstd's fastest.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

/// A plane is worth the time if a sixteenth of it goes: that pays on links below some 25 MB/s.
constexpr double kWorthwhile = 15.0 / 16;

/// A fine search takes two to five times as long as a coarse one: it has to leave a quarter less.
constexpr double kWorthSearching = 0.75;

void check_zstd(std::size_t result) {
  require(ZSTD_isError(result) == 0, ErrorCode::kInternal, "zstd: {}", ZSTD_getErrorName(result));
}

/// How many positions the search moves on where nothing matched. Matches between bytes of low
/// entropy are chance, and dearer than their Huffman codes, so a coarse search looks at one
/// position in 64 (measured on exponents of activations: six times the speed of level 1, and a
/// better ratio).
int step_of(PlaneSearch search) {
  return search == PlaneSearch::kCoarse ? 64 : 1;
}

/// Set once: they fix the compressor's memory, which the step does not change.
template <typename Set>
void set_parameters(const Set& set) {
  set(ZSTD_c_strategy, ZSTD_fast);
  set(ZSTD_c_windowLog, std::bit_width(PlaneCodec::kMaxPlane) - 1);
  set(ZSTD_c_hashLog, 13);
  set(ZSTD_c_chainLog, ZSTD_CHAINLOG_MIN);  // not used by this strategy
  set(ZSTD_c_minMatch, 7);
  set(ZSTD_c_targetLength, step_of(PlaneSearch::kCoarse));
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
    : trial_(BufferPool().acquire(kMaxSample)),
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

PlaneSearch PlaneCodec::judge(std::span<const std::byte> sample) noexcept {
  if (is_repeated(sample)) return PlaneSearch::kSame;
  const auto left = [&](PlaneSearch search) {
    const std::size_t bytes = pack(search, sample, trial_.data());
    return static_cast<double>(bytes == 0 ? sample.size() : bytes);
  };
  const double coarse = left(PlaneSearch::kCoarse);
  const double fine = left(PlaneSearch::kFine);
  if (std::min(coarse, fine) > kWorthwhile * static_cast<double>(sample.size())) {
    return PlaneSearch::kNone;
  }
  return fine < kWorthSearching * coarse ? PlaneSearch::kFine : PlaneSearch::kCoarse;
}

PackedPlane PlaneCodec::encode(PlaneSearch search, std::span<const std::byte> plane,
                               std::byte* out) noexcept {
  if (search == PlaneSearch::kSame && is_repeated(plane)) {
    out[0] = plane[0];
    return {PlaneMethod::kRepeated, 1};
  }
  const std::size_t bytes = search == PlaneSearch::kNone ? 0 : pack(search, plane, out);
  if (bytes != 0) return {PlaneMethod::kZstd, bytes};
  std::memcpy(out, plane.data(), plane.size());
  return {PlaneMethod::kStored, plane.size()};
}

std::size_t PlaneCodec::pack(PlaneSearch search, std::span<const std::byte> plane,
                             std::byte* out) noexcept {
  // Cannot fail between frames, and a step left as it was would still make a sound frame.
  ZSTD_CCtx_setParameter(compressor_, ZSTD_c_targetLength, step_of(search));
  const std::size_t bytes =
      ZSTD_compress2(compressor_, out, plane.size() - 1, plane.data(), plane.size());
  return ZSTD_isError(bytes) != 0 ? 0 : bytes;
}

const char* PlaneCodec::decode(PlaneMethod method, std::span<const std::byte> packed,
                               std::span<std::byte> plane) noexcept {
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
