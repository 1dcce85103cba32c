// Hints of one model: what its lattice pads' public matrix becomes in every product. Fetched from
// the worker or read from the disk, and believed only after a check.
#pragma once

#include <array>
#include <vector>

#include "airlock/ops/operators.h"
#include "airlock/shield/lattice.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"

namespace airlock {

/// Tables of public polynomials, in ordinary memory. Immutable.
struct LatticeHints {
  /// Of the input columns: of the widest group, and by its beginning of every other.
  PolynomialTable columns;
  /// Of the output columns: [group][matrix of the group].
  std::vector<std::array<PolynomialTable, kMaxTensors>> outputs;
};

/// The seed of the public matrix [rank * degree, columns] (math/field_random.h): SHA-256 of
/// "airlock-lattice-1 N<degree> r<rank> <fingerprint in hexadecimal>".
[[nodiscard]] FieldSeed lattice_seed(const Fingerprint& fingerprint,
                                     const LatticeParameters& parameters);

/// From `options.hint_cache` if they are there and right, else from `worker`, then kept there. Each
/// row h of a matrix's hints is checked against its row a of the public matrix by Freivalds,
/// h·v = a·(W·v), with all check vectors of `model`. Payload is added to `stats`. Throws as
/// make_lattice_pads.
[[nodiscard]] LatticeHints load_hints(const RingModel& model, Operators& worker,
                                      const PadOptions& options, PadStats& stats);

}  // namespace airlock
