#include "airlock/wire/block_codec.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "airlock/wire/little_endian.h"

namespace airlock {
namespace {

using Entry = std::uint32_t;
static_assert(sizeof(Entry) == BlockCodec::kEntryBytes);

/// Above an entry's bytes: two bits of its method.
constexpr unsigned kMethodShift = 30;

/// Planes are judged by so many pieces, spread over the block.
constexpr std::int64_t kPieces = 8;

void put_entry(std::byte* at, PackedPlane plane) noexcept {
  put(at, static_cast<Entry>(plane.bytes | static_cast<std::size_t>(plane.method) << kMethodShift));
}

bool is_sound(PackedPlane plane, std::size_t length) noexcept {
  switch (plane.method) {
    case PlaneMethod::kStored:
      return plane.bytes == length;
    case PlaneMethod::kRepeated:
      return plane.bytes == 1;
    case PlaneMethod::kZstd:
      return plane.bytes != 0 && plane.bytes < length;
  }
  return false;
}

}  // namespace

BlockCodec::BlockCodec()
    : scratch_(BufferPool().acquire(kMaxBytePlanes * PlaneCodec::kMaxPlane)),
      sample_(BufferPool().acquire(kMaxBytePlanes * PlaneCodec::kMaxSample)) {}

BlockCodec::Searches BlockCodec::judge(const std::byte* elements, std::int64_t count,
                                       std::size_t planes) noexcept {
  constexpr auto kSample = static_cast<std::int64_t>(PlaneCodec::kMaxSample);
  const std::int64_t pieces = count <= kSample ? 1 : kPieces;
  const std::int64_t piece = std::min(count, kSample) / pieces;
  for (std::int64_t i = 0; i < pieces; ++i) {
    const std::int64_t from = pieces == 1 ? 0 : (count - piece) * i / (pieces - 1);
    std::array<std::byte*, kMaxBytePlanes> to{};
    for (std::size_t p = 0; p < planes; ++p) {
      to[p] = sample_.data() + p * PlaneCodec::kMaxSample + i * piece;
    }
    split_byte_planes(elements + from * static_cast<std::int64_t>(planes), piece,
                      std::span(to).first(planes));
  }
  const auto length = static_cast<std::size_t>(pieces * piece);
  Searches searches{};
  for (std::size_t p = 0; p < planes; ++p) {
    searches[p] = plane_codec_.judge({sample_.data() + p * PlaneCodec::kMaxSample, length});
  }
  return searches;
}

std::size_t BlockCodec::encode(const std::byte* elements, std::int64_t count, std::size_t planes,
                               std::byte* entries, std::byte* out) noexcept {
  const Searches searches = judge(elements, count, planes);
  const auto length = static_cast<std::size_t>(count);
  // What is stored in front of anything packed is split into its place at once.
  std::size_t placed = 0;
  while (placed < planes && searches[placed] == PlaneSearch::kNone) ++placed;
  std::array<std::byte*, kMaxBytePlanes> split{};
  for (std::size_t p = 0; p < planes; ++p) {
    split[p] = p < placed ? out + p * length : scratch_.data() + p * PlaneCodec::kMaxPlane;
  }
  split_byte_planes(elements, count, std::span(split).first(planes));
  std::size_t used = 0;
  for (std::size_t p = 0; p < planes; ++p) {
    const PackedPlane plane =
        p < placed ? PackedPlane{PlaneMethod::kStored, length}
                   : plane_codec_.encode(searches[p], {split[p], length}, out + used);
    put_entry(entries + p * kEntryBytes, plane);
    used += plane.bytes;
  }
  return used;
}

PackedPlane BlockCodec::entry(const std::byte* at) noexcept {
  const std::size_t value = get<Entry>(at);
  return {static_cast<PlaneMethod>(value >> kMethodShift),
          value & ((std::size_t{1} << kMethodShift) - 1)};
}

std::size_t BlockCodec::packed_bytes(const std::byte* entries, std::int64_t count,
                                     std::size_t planes) noexcept {
  std::size_t total = 0;
  for (std::size_t p = 0; p < planes; ++p) {
    const PackedPlane plane = entry(entries + p * kEntryBytes);
    if (!is_sound(plane, static_cast<std::size_t>(count))) return 0;
    total += plane.bytes;
  }
  return total;
}

BlockFault BlockCodec::decode(const std::byte* entries, const std::byte* packed, std::int64_t count,
                              std::size_t planes, std::byte* elements) noexcept {
  const auto length = static_cast<std::size_t>(count);
  std::array<const std::byte*, kMaxBytePlanes> sources{};
  for (std::size_t p = 0; p < planes; ++p) {
    const PackedPlane plane = entry(entries + p * kEntryBytes);
    sources[p] = packed;
    if (plane.method != PlaneMethod::kStored) {
      std::byte* unpacked = scratch_.data() + p * PlaneCodec::kMaxPlane;
      const char* what =
          plane_codec_.decode(plane.method, {packed, plane.bytes}, {unpacked, length});
      if (what != nullptr) return {what, p, plane.bytes};
      sources[p] = unpacked;
    }
    packed += plane.bytes;
  }
  join_byte_planes(std::span(sources).first(planes), count, elements);
  return {};
}

}  // namespace airlock
