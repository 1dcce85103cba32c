#include "airlock/shield/check_share.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "airlock/shield/tile_kernels.h"

namespace airlock {
namespace {

template <typename Work>
double least_seconds(const Work& work) {
  double least = 1e9;
  for (int run = 0; run < 7; ++run) {
    const auto began = std::chrono::steady_clock::now();
    work();
    least = std::min(
        least, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  }
  return least;
}

template <typename Work>
double share(int checks, const Work& work) {
  const double without = least_seconds([&] { work(0); });
  const double with = least_seconds([&] { work(checks); });
  return with > 0 ? std::clamp(1 - without / with, 0.0, 1.0) : 0;
}

}  // namespace

std::pair<double, double> measure_check_share(int checks) {
  constexpr std::int64_t kRows = 64;
  constexpr std::int64_t kColumns = 256;
  const std::vector<float> x(kRows * kColumns, 0.5F);
  const std::vector<RowScale> scales(kRows, RowScale{1000, 0.001F});
  const std::vector<std::uint32_t> words(kRows * kColumns, 12345);
  const std::vector<float> weight_scales(kColumns, 1);
  std::vector<std::uint32_t> sent(kRows * kColumns);
  std::vector<float> out(kRows * kColumns);
  std::vector<std::uint32_t> sums(kRows);

  MaskTile mask;
  mask.rows = kRows;
  mask.columns = mask.x_stride = mask.pad_stride = mask.out_stride = kColumns;
  mask.x = x.data();
  mask.scales = scales.data();
  mask.pad = words.data();
  mask.out = sent.data();
  UnmaskTile unmask;
  unmask.rows = kRows;
  unmask.columns = unmask.y_stride = unmask.pad_stride = unmask.out_stride = kColumns;
  unmask.y = words.data();
  unmask.pad = words.data();
  unmask.scales = scales.data();
  unmask.weight_scales = weight_scales.data();
  unmask.out = out.data();
  for (int i = 0; i < checks; ++i) {
    mask.keys[i] = unmask.keys[i] = words.data();
    mask.sums[i] = unmask.sums[i] = sums.data();
  }
  return {share(checks,
                [&](int count) {
                  mask.checks = count;
                  mask_tile(mask);
                }),
          share(checks, [&](int count) {
            unmask.checks = count;
            unmask_tile(unmask);
          })};
}

}  // namespace airlock
