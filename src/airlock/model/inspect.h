// What `airlock inspect` says of a checkpoint, as data, as text and as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "airlock/model/checkpoint.h"
#include "airlock/model/fingerprint.h"

namespace airlock {

/// A checkpoint in numbers.
struct CheckpointSummary {
  std::string dir;
  ModelConfig config;
  std::vector<CheckpointFile> files;
  std::int64_t parameters = 0;
  std::int64_t tensors = 0;        ///< that the model uses
  std::int64_t other_tensors = 0;  ///< in the files, but no part of the model
  std::int64_t bytes = 0;          ///< of the tensors the model uses
  std::map<DType, std::int64_t> tensors_by_dtype;
  std::optional<Fingerprint> fingerprint;
  std::vector<std::string> warnings;  ///< the checkpoint's
};

struct InspectOptions {
  bool fingerprint = false;    ///< reads every weight
  ByteProgress progress = {};  ///< of the fingerprint
  StopToken stop = {};         ///< of the fingerprint
};

/// Throws as compute_fingerprint does.
CheckpointSummary inspect(const Checkpoint& checkpoint, const InspectOptions& options = {});

/// Lines of "name  value" for people, ending with a newline.
std::string to_text(const CheckpointSummary& summary);
/// One JSON object, indented, ending with a newline.
std::string to_json(const CheckpointSummary& summary);

}  // namespace airlock
