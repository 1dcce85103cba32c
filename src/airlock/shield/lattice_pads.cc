#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "airlock/core/threads.h"
#include "airlock/shield/hint_store.h"
#include "airlock/shield/secret_memory.h"
#include "airlock/shield/stored_pads.h"

namespace airlock {
namespace {

/// Blocks of columns that a thread transforms at a time, to be copied to a batch while in cache.
constexpr std::int64_t kBlocksAtATime = 4;

class LatticePads final : public StoredPads {
 public:
  LatticePads(const RingModel& model, const PadOptions& options, LatticeHints hints,
              const PadStats& prepared)
      : StoredPads(model, PadRows::kBlocks, options),
        degree_(options.lattice.degree),
        hints_(std::move(hints)),
        secrets_(secret_blocks()) {
    counts() = prepared;
  }

  [[nodiscard]] bool needs_noise() const noexcept override { return true; }

 private:
  [[nodiscard]] std::size_t secret_bytes() const noexcept {
    return static_cast<std::size_t>(hints_.columns.parameters().rows()) * sizeof(std::uint32_t);
  }
  /// Uniform in the transform domain is uniform in the other.
  Buffer fresh_secret() {
    Buffer secret = secrets_.acquire(secret_bytes());
    random().field(elements(secret));
    return secret;
  }
  static std::span<std::uint32_t> elements(const Buffer& buffer) {
    return {buffer.as<std::uint32_t>(), buffer.size() / sizeof(std::uint32_t)};
  }

  /// A secret for many rows, which kernels turn into pads on the way; few rows, which would waste
  /// most of one, come from a batch, if there is memory for it.
  std::int64_t add_unstored(int group, std::int64_t rows, Pad& pad) override {
    if (2 * rows < degree_ && rows <= bank().capacity()) return 0;
    const auto begin = std::chrono::steady_clock::now();
    const auto secret = std::make_shared<Buffer>(fresh_secret());
    PadSegment segment;
    segment.rows = std::min<std::int64_t>(rows, degree_);
    segment.secret = secret->as<std::uint32_t>();
    segment.table = &hints_.columns;
    for (int k = 0; k < bank().group(group).weights.size(); ++k) {
      segment.hints[k] =
          &hints_.outputs[static_cast<std::size_t>(group)][static_cast<std::size_t>(k)];
    }
    pad.add(segment, secret, {secret->span()});
    counts().make_ms +=
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    return segment.rows;
  }

  /// As many as one secret gives: what there is no room for is thrown away.
  [[nodiscard]] std::int64_t batch_rows(std::int64_t needed, std::int64_t room) const override {
    return std::min<std::int64_t>(degree_, std::max(needed, room));
  }

  void make(const PadBatch& batch) override {
    const Buffer secret = fresh_secret();
    std::array<Part, 1 + kMaxTensors> parts;
    int count = 0;
    std::int64_t tasks = 0;
    const auto add = [&](const PolynomialTable& table, std::int64_t columns, std::uint32_t* to,
                         std::int64_t stride) {
      const std::int64_t blocks = (columns + kLatticeBlock - 1) / kLatticeBlock;
      parts[static_cast<std::size_t>(count++)] = {&table, blocks, to, stride, tasks};
      tasks += (blocks + kBlocksAtATime - 1) / kBlocksAtATime;
    };
    const RingGroup& group = bank().group(batch.group);
    add(hints_.columns, group.in, batch.input, batch.input_stride);
    for (int k = 0; k < group.weights.size(); ++k) {
      const PolynomialTable& hint =
          hints_.outputs[static_cast<std::size_t>(batch.group)][static_cast<std::size_t>(k)];
      add(hint, hint.columns(), batch.output[k], batch.output_stride[k]);
    }
    constexpr std::int64_t kTileStride = kBlocksAtATime * kLatticeBlock;
    const std::int64_t tile_elements = degree_ * kTileStride;
    const Buffer tiles = secrets_.acquire(static_cast<std::size_t>(threads() * tile_elements) *
                                          sizeof(std::uint32_t));
    parallel_tasks(tasks, [&](std::int64_t task, int thread) {
      const Part* part = parts.data();
      while (part + 1 < parts.data() + count && (part + 1)->first_task <= task) ++part;
      const std::int64_t block = (task - part->first_task) * kBlocksAtATime;
      const std::int64_t blocks = std::min(kBlocksAtATime, part->blocks - block);
      std::uint32_t* const tile = tiles.as<std::uint32_t>() + thread * tile_elements;
      lattice_tile(*part->table, block, blocks, elements(secret), tile, kTileStride);
      for (std::int64_t row = 0; row < batch.rows; ++row) {
        std::memcpy(part->to + row * part->stride + block * kLatticeBlock, tile + row * kTileStride,
                    static_cast<std::size_t>(blocks * kLatticeBlock) * sizeof(std::uint32_t));
      }
    });
    wipe(tiles.span());
    wipe(secret.span());
  }

  struct Part {
    const PolynomialTable* table = nullptr;
    std::int64_t blocks = 0;
    std::uint32_t* to = nullptr;
    std::int64_t stride = 0;
    std::int64_t first_task = 0;
  };

  std::int64_t degree_;
  LatticeHints hints_;
  BufferPool secrets_;
};

}  // namespace

std::unique_ptr<PadSource> make_lattice_pads(const RingModel& model, Operators& worker,
                                             const PadOptions& options) {
  PadStats prepared;
  LatticeHints hints = load_hints(model, worker, options, prepared);
  return std::make_unique<LatticePads>(model, options, std::move(hints), prepared);
}

}  // namespace airlock
