#include "airlock/worker/host_tensors.h"

#include "airlock/core/error.h"

namespace airlock {

void HostTensors::place(const TensorSpecs& specs, const std::array<Place, kMaxTensors>& places,
                        const Encodings& encodings, const SharedSegments& segments,
                        const BufferPool& pool) {
  count_ = part_count_ = 0;
  encodings_ = encodings;
  for (const TensorSpec& spec : specs) {
    const std::size_t at = count_++;
    if (places[at].shared()) {
      tensors_[at] = segments.find(places[at], spec);
      continue;
    }
    buffers_[at] = pool.acquire(static_cast<std::size_t>(spec.bytes()));
    tensors_[at] = {spec, buffers_[at].data()};
    part_of_[at] = part_count_++;
    parts_[part_of_[at]] = buffers_[at].span();
    if (!encodings_[at].compressed()) continue;
    encoded_[at] = pool.acquire(static_cast<std::size_t>(encodings_[at].bytes));
    parts_[part_of_[at]] = encoded_[at].span();
  }
}

void HostTensors::decode(TensorCodec& codec) {
  for (std::size_t i = 0; i < count_; ++i) {
    if (!encodings_[i].compressed()) continue;
    codec.decode(encodings_[i].compression, encoded_[i].span(), tensors_[i]);
    encoded_[i].release();
  }
}

void HostTensors::encode(TensorCodec& codec, Compression compression, const BufferPool& pool) {
  encodings_ = {};
  if (compression == Compression::kNone) return;
  for (std::size_t i = 0; i < count_; ++i) {
    if (buffers_[i].data() == nullptr) continue;  // in shared memory
    const Tensor& raw = tensors_[i];
    if (!is_compressible(raw.spec.dtype)) continue;
    std::size_t bytes = 0;
    try {
      encoded_[i] = pool.acquire(encoded_bound(raw.spec));
      bytes = codec.encode(compression, raw, encoded_[i].span());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResourceExhausted) throw;
    }
    if (bytes == 0 || static_cast<std::int64_t>(bytes) >= raw.bytes()) {
      encoded_[i].release();
      continue;
    }
    encodings_[i] = {compression, static_cast<std::int64_t>(bytes)};
    parts_[part_of_[i]] = encoded_[i].span().first(bytes);
  }
}

void HostTensors::release() noexcept {
  for (Buffer& buffer : buffers_) buffer.release();
  for (Buffer& buffer : encoded_) buffer.release();
  count_ = part_count_ = 0;
}

}  // namespace airlock
