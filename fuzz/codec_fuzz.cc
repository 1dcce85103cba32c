// Packed tensors of a peer: unpacked within their memory or refused with kProtocol, nothing else.
// What the fuzzer takes for a tensor must come back as it was.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/wire/codec.h"

#include "tests/support/raw_peer.h"

namespace airlock {
namespace {

using testing::Bytes;

TensorCodec& codec() {
  static const bool alone = (set_threads(1), true);
  static_cast<void>(alone);
  static TensorCodec only;
  return only;
}

/// Blocks of its own for both sides: ASan guards their ends.
void unpack(Compression compression, const TensorSpec& spec, std::span<const std::byte> packed) {
  const Bytes copy = testing::copy_of(packed);
  Bytes raw(static_cast<std::size_t>(spec.bytes()));
  try {
    codec().decode(compression, copy, {spec, raw.data()});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kProtocol) std::abort();
  }
}

void round_trip(Compression compression, DType dtype, std::span<const std::byte> bytes) {
  // The longest tensor of one row that the bytes can fill.
  const std::size_t scales = dtype == DType::kI8 ? 4 : 0;
  if (bytes.size() < scales) return;
  const TensorSpec spec{
      dtype, {1, static_cast<std::int64_t>((bytes.size() - scales) / dtype_size(dtype))}};
  const Bytes raw = testing::copy_of(bytes.first(static_cast<std::size_t>(spec.bytes())));
  Bytes packed(encoded_bound(spec));
  packed.resize(codec().encode(compression, {spec, raw.data()}, packed));
  Bytes back(raw.size());
  codec().decode(compression, packed, {spec, back.data()});
  if (back != raw) std::abort();
}

}  // namespace
}  // namespace airlock

/// {0 to unpack, else to pack and unpack; odd: compressed; dtype; rows; columns (3 bytes)}, then
/// bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  if (size < 7) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(7);
  const auto compression = data[1] % 2 == 0 ? Compression::kNone : Compression::kZstd;
  const auto dtype = static_cast<DType>(data[2] % 5);
  if (data[0] == 0) {
    const std::int64_t columns = data[4] + 256 * data[5] + 65536 * (data[6] % 4);
    unpack(compression, {dtype, {data[3] % 4, columns}}, bytes);
  } else if (is_compressible(dtype)) {
    round_trip(compression, dtype, bytes);
  }
  return 0;
}
