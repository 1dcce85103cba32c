#include "airlock/wire/codec.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/wire/block_codec.h"

namespace airlock {
namespace {

/// Some microseconds of memcpy.
constexpr std::int64_t kCopyGrain = 1 << 18;

std::size_t to_size(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// Where things lie in a packed tensor: the table, the blocks, the scales of int8.
struct PartsLayout {
  std::size_t planes;  ///< bytes of an element
  std::int64_t elements;
  std::int64_t blocks;
  std::size_t table_bytes;
  std::size_t scale_bytes;

  explicit PartsLayout(const TensorSpec& spec)
      : planes(dtype_size(spec.dtype)),
        elements(spec.shape.elements()),
        blocks(elements / BlockCodec::kElements + (elements % BlockCodec::kElements != 0 ? 1 : 0)),
        table_bytes(entries_at(blocks)),
        scale_bytes(to_size(spec.bytes()) - to_size(elements) * planes) {}

  [[nodiscard]] std::int64_t elements_of(std::int64_t block) const {
    return std::min(BlockCodec::kElements, elements - block * BlockCodec::kElements);
  }
  /// Of a block's elements in the tensor.
  [[nodiscard]] std::size_t raw_at(std::int64_t block) const {
    return to_size(block * BlockCodec::kElements) * planes;
  }
  /// Of a block's entries in the table.
  [[nodiscard]] std::size_t entries_at(std::int64_t block) const {
    return to_size(block) * planes * BlockCodec::kEntryBytes;
  }
};

/// One thread's part of a tensor: the blocks it does, by what, and what came of them.
struct Share {
  BlockCodec codec;
  std::size_t start = 0;  ///< of its packed bytes
  std::size_t bytes = 0;
  std::int64_t block = 0;  ///< the last it looked at
  BlockFault fault;
};

void copy(const std::byte* from, std::byte* to, std::int64_t bytes) {
  parallel_for(bytes, kCopyGrain, [=](std::int64_t begin, std::int64_t end) {
    std::memcpy(to + begin, from + begin, to_size(end - begin));
  });
}

}  // namespace

struct TensorCodec::State {
  std::vector<std::unique_ptr<Share>> shares;

  /// Calls body(share, first block, end of blocks), which must not throw, for equal parts of a
  /// tensor's blocks, on as many threads. Returns the shares used, in the order of their blocks.
  template <typename Body>
  std::span<const std::unique_ptr<Share>> for_each_share(std::int64_t blocks, const Body& body) {
    const std::int64_t parts = std::min<std::int64_t>(threads(), blocks);
    while (static_cast<std::int64_t>(shares.size()) < parts) {
      shares.push_back(std::make_unique<Share>());
    }
    parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        body(*shares[to_size(i)], blocks * i / parts, blocks * (i + 1) / parts);
      }
    });
    return std::span(shares).first(to_size(parts));
  }
};

bool is_compressible(DType dtype) noexcept {
  return is_real(dtype);
}

std::size_t encoded_bound(const TensorSpec& spec) {
  return to_size(spec.bytes()) + (is_compressible(spec.dtype) ? PartsLayout(spec).table_bytes : 0);
}

TensorCodec::TensorCodec() : state_(std::make_unique<State>()) {}
TensorCodec::~TensorCodec() = default;

void TensorCodec::forget() noexcept {
  state_->shares.clear();
}

std::size_t TensorCodec::encode(Compression compression, ConstTensor raw,
                                std::span<std::byte> out) {
  const std::size_t bound = encoded_bound(raw.spec);
  require(out.size() >= bound, ErrorCode::kInvalidArgument,
          "codec: {} bytes for a tensor {} of {}, expected room for {}", out.size(), raw.spec.shape,
          dtype_name(raw.spec.dtype), bound);
  if (compression == Compression::kNone) {
    copy(raw.data, out.data(), raw.bytes());
    return to_size(raw.bytes());
  }
  require(is_compressible(raw.spec.dtype), ErrorCode::kInvalidArgument,
          "codec: {} is never compressed", dtype_name(raw.spec.dtype));
  const PartsLayout layout(raw.spec);
  std::byte* packed = out.data() + layout.table_bytes;
  // A share's bytes begin where they would if nothing in front of it had shrunk.
  const auto shares = state_->for_each_share(
      layout.blocks, [&](Share& share, std::int64_t begin, std::int64_t end) {
        share.start = layout.raw_at(begin);
        share.bytes = 0;
        for (std::int64_t b = begin; b < end; ++b) {
          share.bytes += share.codec.encode(raw.data + layout.raw_at(b), layout.elements_of(b),
                                            layout.planes, out.data() + layout.entries_at(b),
                                            packed + share.start + share.bytes);
        }
      });
  std::size_t used = 0;
  for (const auto& share : shares) {
    if (share->start != used) std::memmove(packed + used, packed + share->start, share->bytes);
    used += share->bytes;
  }
  const std::byte* scales = raw.data + to_size(layout.elements) * layout.planes;
  if (layout.scale_bytes != 0) std::memcpy(packed + used, scales, layout.scale_bytes);
  return layout.table_bytes + used + layout.scale_bytes;
}

void TensorCodec::decode(Compression compression, std::span<const std::byte> encoded, Tensor raw) {
  const auto check_length = [&](bool ok, std::string_view what, std::size_t expected) {
    require(ok, ErrorCode::kProtocol, "a tensor {} of {} by {} takes {} bytes, expected {} {}",
            raw.spec.shape, dtype_name(raw.spec.dtype), compression_name(compression),
            encoded.size(), what, expected);
  };
  if (compression == Compression::kNone) {
    check_length(encoded.size() == to_size(raw.bytes()), "exactly", to_size(raw.bytes()));
    return copy(encoded.data(), raw.data, raw.bytes());
  }
  require(is_compressible(raw.spec.dtype), ErrorCode::kProtocol,
          "a tensor of {} by {}, expected it not compressed", dtype_name(raw.spec.dtype),
          compression_name(compression));
  const PartsLayout layout(raw.spec);
  std::size_t total = layout.table_bytes + layout.scale_bytes;
  check_length(encoded.size() >= total, "for its table and scales at least", total);
  const std::byte* table = encoded.data();
  const auto packed_bytes = [&](std::int64_t block) {
    return BlockCodec::packed_bytes(table + layout.entries_at(block), layout.elements_of(block),
                                    layout.planes);
  };
  for (std::int64_t b = 0; b < layout.blocks; ++b) {
    const std::size_t bytes = packed_bytes(b);
    require(bytes != 0, ErrorCode::kProtocol,
            "a tensor {} of {} by {} has lengths or methods in its table that block {} cannot have",
            raw.spec.shape, dtype_name(raw.spec.dtype), compression_name(compression), b);
    total += bytes;
  }
  check_length(encoded.size() == total, "by its table exactly", total);

  const auto shares = state_->for_each_share(layout.blocks, [&](Share& share, std::int64_t begin,
                                                                std::int64_t end) {
    const std::byte* from = table + layout.table_bytes;
    for (std::int64_t b = 0; b < begin; ++b) from += packed_bytes(b);
    share.fault = {};
    for (std::int64_t b = begin; b < end && share.fault.what == nullptr; ++b) {
      share.block = b;
      share.fault = share.codec.decode(table + layout.entries_at(b), from, layout.elements_of(b),
                                       layout.planes, raw.data + layout.raw_at(b));
      from += packed_bytes(b);
    }
  });
  for (const auto& share : shares) {
    require(share->fault.what == nullptr, ErrorCode::kProtocol,
            "a tensor {} of {} by {}: the {} bytes of plane {} of block {} are {}", raw.spec.shape,
            dtype_name(raw.spec.dtype), compression_name(compression), share->fault.bytes,
            share->fault.plane, share->block, share->fault.what);
  }
  if (layout.scale_bytes != 0) {
    std::memcpy(raw.data + to_size(layout.elements) * layout.planes,
                encoded.data() + (encoded.size() - layout.scale_bytes), layout.scale_bytes);
  }
}

}  // namespace airlock
