// One 32-byte name for a model: runner and worker compare it and refuse to mix two models.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "airlock/core/stop.h"
#include "airlock/model/checkpoint.h"

namespace airlock {

using Fingerprint = std::array<std::uint8_t, 32>;

/// Bytes that are hashed as one piece; a tensor's digest is over the digests of its pieces, so that
/// one large tensor is spread over the cores. Part of the definition: changing it changes every
/// fingerprint.
inline constexpr std::int64_t kFingerprintPieceBytes = std::int64_t{64} << 20;

/// SHA-256 of a text of lines: "airlock-fingerprint-1", each number of the configuration that the
/// arithmetic depends on (not the context length, the dtype label or the bos and eos ids), then for
/// every entry of the checkpoint's TensorTable its name, dtype, shape and digest. A tensor's digest
/// is the SHA-256 of the concatenated SHA-256 digests of its pieces. How the tensors are spread
/// over files, and tensors that the model does not use, do not matter.
///
/// Reads every weight once, in parallel. `progress` may be empty. Throws Error(kInterrupted) for
/// `stop`, and as Checkpoint::read does.
Fingerprint compute_fingerprint(const Checkpoint& checkpoint, const ByteProgress& progress = {},
                                const StopToken& stop = {});

/// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(const Fingerprint& fingerprint);
/// The first 12 of them, for people.
[[nodiscard]] std::string short_form(const Fingerprint& fingerprint);

}  // namespace airlock
