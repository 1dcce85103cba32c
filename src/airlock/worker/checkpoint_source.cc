#include "airlock/worker/checkpoint_source.h"

#include <algorithm>

namespace airlock {

ConstTensor CheckpointSource::tensor(Weight weight, int layer) {
  const std::int64_t place = checkpoint_->table().index_of(weight, layer);
  if (weight == Weight::kEmbedding) embedding_ = place;
  auto found = loaded_.find(place);
  if (found == loaded_.end()) {
    found = loaded_.emplace(place, checkpoint_->load(weight, layer)).first;
  }
  return found->second.view();
}

void CheckpointSource::release(ConstTensor tensor) {
  const auto found = std::find_if(loaded_.begin(), loaded_.end(), [&](const auto& loaded) {
    return loaded.second.view().data == tensor.data;
  });
  // A tied LM head is the embedding, which others go on reading.
  if (found != loaded_.end() && found->first != embedding_) loaded_.erase(found);
}

}  // namespace airlock
