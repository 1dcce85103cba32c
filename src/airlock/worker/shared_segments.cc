#include "airlock/worker/shared_segments.h"

#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/memory_budget.h"

namespace airlock {

/// A segment that the backend knows of for as long as it is mapped.
class SharedSegments::Segment {
 public:
  Segment(BudgetShare share, SharedMemory memory, Backend* backend)
      : share_(std::move(share)), memory_(std::move(memory)), backend_(backend) {
    if (backend_ != nullptr) backend_->memory_shared(bytes());
  }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() {
    if (backend_ != nullptr) backend_->memory_gone(bytes());
  }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return memory_.bytes(); }

 private:
  BudgetShare share_;  ///< outlives the mapping
  SharedMemory memory_;
  Backend* backend_;
};

SharedSegments::SharedSegments(std::int64_t budget, Backend* backend)
    : budget_(budget), backend_(backend) {}
SharedSegments::SharedSegments(SharedSegments&& other) noexcept = default;
SharedSegments& SharedSegments::operator=(SharedSegments&& other) noexcept = default;
SharedSegments::~SharedSegments() = default;

void SharedSegments::add(const ShareMessage& message, Fd file) {
  require(static_cast<bool>(file), ErrorCode::kProtocol,
          "segment {} of shared memory came without its descriptor", message.segment);
  require(message.segment >= 1 && message.segment <= ShareMessage::kMaxSegments,
          ErrorCode::kProtocol, "segment {} of shared memory, expected 1 to {}", message.segment,
          ShareMessage::kMaxSegments);
  if (segments_.size() < message.segment) segments_.resize(message.segment);
  std::unique_ptr<Segment>& segment = segments_[message.segment - 1U];
  require(segment == nullptr, ErrorCode::kProtocol, "segment {} of shared memory came twice",
          message.segment);
  require(message.bytes > 0 && message.bytes <= budget_ - used_, ErrorCode::kProtocol,
          "{} more bytes of shared memory, {} of {} are used", message.bytes, used_, budget_);
  BudgetShare share(process_budget(), message.bytes, "shared memory");
  SharedMemory memory =
      SharedMemory::adopt(std::move(file), static_cast<std::size_t>(message.bytes));
  memory.forget_file();
  segment = std::make_unique<Segment>(std::move(share), std::move(memory), backend_);
  used_ += message.bytes;
}

std::span<std::byte> SharedSegments::find(const Place& place, std::int64_t bytes) const {
  require(place.segment >= 1 && place.segment <= segments_.size(), ErrorCode::kProtocol,
          "a tensor lies in segment {} of shared memory, {} are known", place.segment,
          segments_.size());
  const Segment* const segment = segments_[place.segment - 1U].get();
  const auto memory = segment == nullptr ? std::span<std::byte>() : segment->bytes();
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
