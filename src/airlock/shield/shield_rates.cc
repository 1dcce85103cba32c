#include "airlock/shield/shield_rates.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "airlock/core/threads.h"
#include "airlock/shield/lattice.h"
#include "airlock/shield/tile_kernels.h"

namespace airlock {
namespace {

template <typename Work>
double least_seconds(const Work& work, int runs = 3) {
  double least = 1e9;
  for (int run = 0; run < runs; ++run) {
    const auto began = std::chrono::steady_clock::now();
    work();
    least = std::min(
        least, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  }
  return std::max(least, 1e-9);
}

/// One tile each way with what it needs: more than caches hold, as the tensors of a call are.
class SampleTiles {
 public:
  static constexpr std::int64_t kRows = 256;
  static constexpr std::int64_t kColumns = 4096;

  explicit SampleTiles(int checks) : checks_(checks) {
    mask_.rows = unmask_.rows = kRows;
    mask_.columns = mask_.x_stride = mask_.pad_stride = mask_.out_stride = kColumns;
    mask_.x = x_.data();
    mask_.scales = unmask_.scales = scales_.data();
    mask_.pad = unmask_.pad = words_.data();
    mask_.out = sent_.data();
    unmask_.columns = unmask_.y_stride = unmask_.pad_stride = unmask_.out_stride = kColumns;
    unmask_.y = words_.data();
    unmask_.weight_scales = weight_scales_.data();
    unmask_.out = out_.data();
    for (int i = 0; i < checks; ++i) {
      mask_.keys[i] = unmask_.keys[i] = words_.data();
      mask_.sums[i] = unmask_.sums[i] = sums_.data();
    }
  }

  void mask(bool checked) {
    mask_.checks = checked ? checks_ : 0;
    mask_tile(mask_);
  }
  void unmask(bool checked) {
    unmask_.checks = checked ? checks_ : 0;
    unmask_tile(unmask_);
  }

 private:
  int checks_;
  std::vector<float> x_ = std::vector<float>(kRows * kColumns, 0.5F);
  std::vector<RowScale> scales_ = std::vector<RowScale>(kRows, RowScale{1000, 0.001F});
  std::vector<std::uint32_t> words_ = std::vector<std::uint32_t>(kRows * kColumns, 12345);
  std::vector<float> weight_scales_ = std::vector<float>(kColumns, 1);
  std::vector<std::uint32_t> sent_ = std::vector<std::uint32_t>(kRows * kColumns);
  std::vector<float> out_ = std::vector<float>(kRows * kColumns);
  std::vector<std::uint32_t> sums_ = std::vector<std::uint32_t>(kRows);
  MaskTile mask_;
  UnmaskTile unmask_;
};

}  // namespace

std::pair<double, double> measure_check_share(int checks) {
  SampleTiles tiles(checks);
  const auto share = [](const auto& work) {
    // In turn, so that a busy machine slows both alike: their difference is small.
    double with = 1e9, without = 1e9;
    for (int run = 0; run < 12; ++run) {
      with = std::min(with, least_seconds([&] { work(true); }, 1));
      without = std::min(without, least_seconds([&] { work(false); }, 1));
    }
    return std::clamp(1 - without / with, 0.0, 1.0);
  };
  return {share([&](bool checked) { tiles.mask(checked); }),
          share([&](bool checked) { tiles.unmask(checked); })};
}

ShieldRates measure_shield_rates() {
  SampleTiles tiles(1);
  const double values = SampleTiles::kRows * SampleTiles::kColumns;
  const double with = least_seconds([&] {
    tiles.mask(true);
    tiles.unmask(true);
  });
  const double without = least_seconds([&] {
    tiles.mask(false);
    tiles.unmask(false);
  });
  ShieldRates rates;
  const double cores = threads();
  rates.convert = 2 * values * cores / without;
  rates.checks = 2 * values * cores / std::max(with - without, with * 0.01);

  // More columns than caches hold, since hints stream from memory.
  constexpr std::int64_t kBlocks = 4;
  constexpr std::int64_t kTiles = 32;
  const LatticeParameters parameters;
  const PolynomialTable table(BufferPool(), parameters, kTiles * kBlocks * kLatticeBlock);
  std::fill(table.span().begin(), table.span().end(), std::byte{17});
  const std::vector<std::uint32_t> secret(static_cast<std::size_t>(parameters.rows()), 987654321);
  const std::int64_t width = kBlocks * kLatticeBlock;
  std::vector<std::vector<std::uint32_t>> scratch(
      static_cast<std::size_t>(threads()),
      std::vector<std::uint32_t>(static_cast<std::size_t>(parameters.degree * width)));
  const double pads = least_seconds([&] {
    parallel_tasks(kTiles, [&](std::int64_t tile, int thread) {
      lattice_tile(table, tile * kBlocks, kBlocks, secret,
                   scratch[static_cast<std::size_t>(thread)].data(), width);
    });
  });
  rates.pads = static_cast<double>(kTiles * width * parameters.degree) / pads;
  return rates;
}

}  // namespace airlock
