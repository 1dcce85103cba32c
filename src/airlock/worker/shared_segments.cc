#include "airlock/worker/shared_segments.h"

#include "airlock/core/error.h"

namespace airlock {

void SharedSegments::add(const ShareMessage& message, Fd file) {
  require(static_cast<bool>(file), ErrorCode::kProtocol,
          "segment {} of shared memory came without its descriptor", message.segment);
  require(message.segment >= 1 && message.segment <= ShareMessage::kMaxSegments,
          ErrorCode::kProtocol, "segment {} of shared memory, expected 1 to {}", message.segment,
          ShareMessage::kMaxSegments);
  if (segments_.size() < message.segment) segments_.resize(message.segment);
  SharedMemory& segment = segments_[message.segment - 1U];
  require(segment.bytes().empty(), ErrorCode::kProtocol, "segment {} of shared memory came twice",
          message.segment);
  require(message.bytes > 0 && message.bytes <= budget_ - used_, ErrorCode::kProtocol,
          "{} more bytes of shared memory, {} of {} are used", message.bytes, used_, budget_);
  segment = SharedMemory::adopt(std::move(file), static_cast<std::size_t>(message.bytes));
  segment.forget_file();
  used_ += message.bytes;
}

std::span<std::byte> SharedSegments::find(const Place& place, std::int64_t bytes) const {
  require(place.segment >= 1 && place.segment <= segments_.size(), ErrorCode::kProtocol,
          "a tensor lies in segment {} of shared memory, {} are known", place.segment,
          segments_.size());
  const auto memory = segments_[place.segment - 1U].bytes();
  const auto size = static_cast<std::int64_t>(memory.size());
  require(bytes >= 0 && place.offset >= 0 && place.offset <= size && bytes <= size - place.offset,
          ErrorCode::kProtocol, "a tensor of {} bytes at {} passes segment {} of {} bytes", bytes,
          place.offset, place.segment, size);
  return memory.subspan(static_cast<std::size_t>(place.offset), static_cast<std::size_t>(bytes));
}

Tensor SharedSegments::find(const Place& place, const TensorSpec& spec) const {
  require(spec.dtype != DType::kI64, ErrorCode::kProtocol, "token ids came in shared memory");
  return {spec, find(place, spec.bytes()).data()};
}

}  // namespace airlock
