#include "airlock/kernels/ring_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_kernel.h"
#include "airlock/math/field.h"

namespace airlock {
namespace {

/// Bytes of split rows that stay in a core's cache beside a panel.
constexpr std::int64_t kSplitBytes = 384 << 10;
/// Panels of one task: enough columns to be worth handing out.
constexpr std::int64_t kTaskPanels = 8;

std::int64_t padded_terms(std::int64_t in) {
  return (in + kRingTerms - 1) / kRingTerms * kRingTerms;
}

std::int64_t panels_of(std::int64_t out) {
  return (out + kRingPanel - 1) / kRingPanel;
}

void split_portable(DType dtype, const void* x, std::int64_t stride, int rows, std::int64_t count,
                    std::int64_t terms, void* digits) {
  auto* const out = static_cast<std::int64_t*>(digits);
  for (int row = 0; row < rows; ++row) {
    for (std::int64_t k = 0; k < terms; ++k) {
      std::int64_t& to = out[(k / 4 * rows + row) * 4 + k % 4];
      if (k >= count) {
        to = 0;
      } else if (dtype == DType::kI16) {
        to = static_cast<const std::int16_t*>(x)[row * stride + k];
      } else {
        to = static_cast<const std::uint32_t*>(x)[row * stride + k];
      }
    }
  }
}

void tile_portable(DType /*dtype*/, const void* digits, int rows, const RingPanels& panels,
                   std::uint32_t* out, std::int64_t stride) {
  for (int row = 0; row < rows; ++row) {
    const auto* const x = static_cast<const std::int64_t*>(digits) + row * 4;
    for (std::int64_t column = 0; column < panels.count * kRingPanel; ++column) {
      const std::int8_t* const w =
          panels.data + column / kRingPanel * panels.terms * kRingPanel + column % kRingPanel * 4;
      std::int64_t sum = 0;  // below 2^32 * 127 * 2^15
      for (std::int64_t k = 0; k < panels.terms; k += 4) {
        for (std::int64_t i = 0; i < 4; ++i) sum += x[k * rows + i] * w[k * kRingPanel + i];
      }
      out[row * stride + column] = to_field(sum);
    }
  }
}

constexpr RingKernel kPortable = {"portable", 1, 1, 8, 4, 4, split_portable, tile_portable};

const RingKernel& kernel_here() {
  static const RingKernel& found = *ring_kernels().front();
  return found;
}

/// Writes a tile's columns that the weight has.
void write(const std::uint32_t* tile, std::int64_t tile_stride, int rows, std::int64_t columns,
           DType dtype, void* out, std::int64_t stride) {
  for (int row = 0; row < rows; ++row) {
    const std::uint32_t* const from = tile + row * tile_stride;
    if (dtype == DType::kRing) {
      std::memcpy(static_cast<std::uint32_t*>(out) + row * stride, from,
                  static_cast<std::size_t>(columns) * sizeof(std::uint32_t));
    } else {
      auto* const to = static_cast<std::uint16_t*>(out) + row * stride;
      for (std::int64_t i = 0; i < columns; ++i) to[i] = to_ring16(from[i]);
    }
  }
}

}  // namespace

const RingKernel& ring_kernel_portable() noexcept {
  return kPortable;
}

std::vector<const RingKernel*> ring_kernels() {
  std::vector<const RingKernel*> kernels;
  if (ring_kernel_vnni() != nullptr && has_vnni()) kernels.push_back(ring_kernel_vnni());
  if (ring_kernel_avx2() != nullptr && isa() >= Isa::kAvx2) kernels.push_back(ring_kernel_avx2());
  kernels.push_back(&kPortable);
  return kernels;
}

RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight) {
  RingMatrix packed;
  packed.out = weight.spec.shape[0];
  packed.in = weight.spec.shape[1];
  require(packed.in <= kMaxRingTerms, ErrorCode::kUnsupported,
          "a weight of {} inputs, exact products have at most {}", packed.in, kMaxRingTerms);
  const std::int64_t terms = padded_terms(packed.in);
  const std::int64_t panels = panels_of(packed.out);
  const std::int64_t elements = panels * kRingPanel * terms;
  packed.data = pool.acquire(static_cast<std::size_t>(elements) +
                             static_cast<std::size_t>(panels * kRingPanel) * sizeof(std::int32_t));
  auto* const data = packed.data.as<std::int8_t>();
  auto* const sums = reinterpret_cast<std::int32_t*>(data + elements);
  // Where a row is not finite: an exception must not leave a parallel loop.
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(panels));
  parallel_for(panels, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int8_t> rows(static_cast<std::size_t>(kRingPanel * packed.in));
    std::array<float, kRingPanel> scales{};
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t first = panel * kRingPanel;
      const std::int64_t count = std::min(kRingPanel, packed.out - first);
      try {
        quantize_weight_rows(weight, first, count, rows, scales);
      } catch (...) {
        failures[static_cast<std::size_t>(panel)] = std::current_exception();
        continue;
      }
      std::int8_t* const to = data + first * terms;
      std::memset(to, 0, static_cast<std::size_t>(kRingPanel * terms));
      for (std::int64_t c = 0; c < kRingPanel; ++c) {
        std::int32_t sum = 0;
        for (std::int64_t k = 0; c < count && k < packed.in; ++k) {
          const std::int8_t q = rows[static_cast<std::size_t>(c * packed.in + k)];
          to[k / 4 * kRingPanel * 4 + c * 4 + k % 4] = q;
          sum += q;
        }
        sums[first + c] = sum;
      }
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return packed;
}

void ring_multiply(const BufferPool& pool, const RingMatrix& w, DType x_dtype, const void* x,
                   std::int64_t rows, DType out_dtype, void* out) {
  ring_multiply(kernel_here(), pool, w, x_dtype, x, rows, out_dtype, out);
}

void ring_multiply(const RingKernel& kernel, const BufferPool& pool, const RingMatrix& w,
                   DType x_dtype, const void* x, std::int64_t rows, DType out_dtype, void* out) {
  const std::int64_t terms = padded_terms(w.in);
  const std::int64_t panels = panels_of(w.out);
  const auto* const data = w.data.as<const std::int8_t>();
  const auto* const sums =
      reinterpret_cast<const std::int32_t*>(data + panels * kRingPanel * terms);
  const int digits = kernel.digits(x_dtype);
  const std::int64_t row_bytes = digits * kernel.digit_bytes * terms;
  const int group = kernel.most_digits / digits;
  const std::int64_t block =
      std::min(std::max<std::int64_t>(kSplitBytes / row_bytes / group, 1) * group, rows);
  const Buffer split = pool.acquire(static_cast<std::size_t>(block * row_bytes));
  const auto x_row = static_cast<std::size_t>(w.in) * dtype_size(x_dtype);
  for (std::int64_t first = 0; first < rows; first += block) {
    const std::int64_t count = std::min(block, rows - first);
    const auto* const from =
        static_cast<const std::byte*>(x) + static_cast<std::size_t>(first) * x_row;
    parallel_for((count + group - 1) / group, 2, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin * group; row < std::min(end * group, count); row += group) {
        kernel.split(x_dtype, from + static_cast<std::size_t>(row) * x_row, w.in,
                     static_cast<int>(std::min<std::int64_t>(group, count - row)), w.in, terms,
                     split.data() + row * row_bytes);
      }
    });
    auto* const to = static_cast<std::byte*>(out) +
                     static_cast<std::size_t>(first * w.out) * dtype_size(out_dtype);
    parallel_tasks((panels + kTaskPanels - 1) / kTaskPanels, [&](std::int64_t task, int) {
      const std::int64_t last = std::min(panels, (task + 1) * kTaskPanels);
      std::array<std::uint32_t, kMostRingRows * kMostRingPanels * kRingPanel> tile;
      for (std::int64_t panel = task * kTaskPanels; panel < last; panel += kernel.most_panels) {
        RingPanels some;
        some.data = data + panel * kRingPanel * terms;
        some.sums = sums + panel * kRingPanel;
        some.terms = terms;
        some.count = static_cast<int>(std::min<std::int64_t>(kernel.most_panels, last - panel));
        const std::int64_t column = panel * kRingPanel;
        const std::int64_t columns = std::min(some.count * kRingPanel, w.out - column);
        for (std::int64_t row = 0; row < count; row += group) {
          const int some_rows = static_cast<int>(std::min<std::int64_t>(group, count - row));
          kernel.tile(x_dtype, split.data() + row * row_bytes, some_rows, some, tile.data(),
                      some.count * kRingPanel);
          write(tile.data(), some.count * kRingPanel, some_rows, columns, out_dtype,
                to + static_cast<std::size_t>(row * w.out + column) * dtype_size(out_dtype), w.out);
        }
      }
    });
  }
}

std::string ring_isa() {
  return std::string(kernel_here().name);
}

}  // namespace airlock
