#include <algorithm>
#include <memory>

#include "airlock/core/threads.h"
#include "airlock/shield/pad_products.h"
#include "airlock/shield/stored_pads.h"

namespace airlock {
namespace {

class DealerPads final : public StoredPads {
 public:
  DealerPads(const RingModel& model, Operators& dealer, const PadOptions& options)
      : StoredPads(model, PadRows::kDense, options), dealer_(dealer) {}

  [[nodiscard]] bool needs_noise() const noexcept override { return false; }

 private:
  void make(const PadBatch& batch) override {
    struct Seed {
      FieldSeed bytes;
      ~Seed() { wipe(std::as_writable_bytes(std::span(bytes))); }
    } secret{random().seed()};
    const FieldSeed& seed = secret.bytes;
    const RingGroup& group = bank().group(batch.group);
    std::vector<PadPiece> pieces;
    const std::int64_t most = pad_rows_a_call(group);
    for (std::int64_t row = 0; row < batch.rows; row += most) {
      pieces.push_back({batch.group, row, std::min(most, batch.rows - row)});
    }
    PadProducts products(dealer_, model(), seed, counts());
    products.run(
        pieces,
        [&](const PadPiece& piece, int /*slot*/, std::span<Tensor> outputs) {
          for (std::size_t k = 0; k < outputs.size(); ++k) {
            outputs[k].data =
                reinterpret_cast<std::byte*>(batch.output[k] + piece.row * batch.output_stride[k]);
          }
        },
        [&](const PadPiece& piece, int /*slot*/) { finish(batch, piece, seed); });
  }

  /// The rows themselves, while the dealer works on the next, and its products made elements.
  void finish(const PadBatch& batch, const PadPiece& piece, const FieldSeed& seed) const {
    const RingGroup& group = bank().group(batch.group);
    parallel_for(piece.rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = piece.row + begin; row < piece.row + end; ++row) {
        expand_field_row(
            seed, static_cast<std::uint64_t>(row),
            {batch.input + row * batch.input_stride, static_cast<std::size_t>(group.in)});
        for (int k = 0; k < group.weights.size(); ++k) {
          reduce_to_field({batch.output[k] + row * batch.output_stride[k],
                           static_cast<std::size_t>(batch.output_stride[k])});
        }
      }
    });
  }

  Operators& dealer_;
};

}  // namespace

std::unique_ptr<PadSource> make_dealer_pads(const RingModel& model, Operators& dealer,
                                            const PadOptions& options) {
  return std::make_unique<DealerPads>(model, dealer, options);
}

}  // namespace airlock
