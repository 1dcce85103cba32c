#include "airlock/shield/pad.h"

#include <utility>

#include "airlock/math/field_random.h"

namespace airlock {

Pad::Pad(Pad&& other) noexcept
    : rows_(std::exchange(other.rows_, 0)),
      segments_(std::exchange(other.segments_, {})),
      keeps_(std::exchange(other.keeps_, {})),
      wiped_(std::exchange(other.wiped_, {})) {}

Pad& Pad::operator=(Pad&& other) noexcept {
  if (this != &other) {
    end();
    rows_ = std::exchange(other.rows_, 0);
    segments_ = std::exchange(other.segments_, {});
    keeps_ = std::exchange(other.keeps_, {});
    wiped_ = std::exchange(other.wiped_, {});
  }
  return *this;
}

Pad::~Pad() {
  end();
}

void Pad::add(const PadSegment& segment, std::shared_ptr<void> keeps,
              std::vector<std::span<std::byte>> wiped) {
  // Room first: after a failure nothing is half added.
  segments_.reserve(segments_.size() + 1);
  keeps_.reserve(keeps_.size() + 1);
  wiped_.insert(wiped_.end(), wiped.begin(), wiped.end());
  segments_.push_back(segment);
  keeps_.push_back(std::move(keeps));
  rows_ += segment.rows;
}

void Pad::end() noexcept {
  for (const std::span<std::byte> memory : wiped_) wipe(memory);
  rows_ = 0;
  segments_.clear();
  wiped_.clear();
  keeps_.clear();
}

}  // namespace airlock
