#include "airlock/kernels/ring_matrix.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_kernel.h"

namespace airlock {
namespace {

/// Bytes of digits at a time: more rows come after.
constexpr std::int64_t kDigitBytes = std::int64_t{64} << 20;
/// Rows and panels of a task that has many: its weights are fetched from memory once for so many
/// rows, and the digits of a few rows, close by, serve so many panels.
constexpr std::int64_t kTaskRows = 128;
constexpr std::int64_t kTaskPanels = 12;
/// Up to here rows are few: a task reads one stretch of weights, as long as it can be.
constexpr std::int64_t kFewRows = 16;

constexpr std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

std::int64_t panels_of(const RingMatrix& w) {
  return (w.out + kRingPanel - 1) / kRingPanel;
}

std::int64_t terms_of(const RingMatrix& w) {
  return round_up(w.in, kRingUnit);
}

const std::int32_t* sums_of(const RingMatrix& w) {
  return reinterpret_cast<const std::int32_t*>(w.data.data() +
                                               panels_of(w) * terms_of(w) * kRingPanel);
}

/// Quantized rows [up to 16, in] as a panel, and their sums.
void pack_panel(const std::int8_t* q, std::int64_t rows, std::int64_t in, std::int64_t group,
                std::int8_t* panel, std::int32_t* sums) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int8_t* row = q + r * in;
    std::int8_t* to = panel + r * group;
    std::int64_t k = 0;
    for (; k + group <= in; k += group, to += kRingPanel * group) {
      std::memcpy(to, row + k, static_cast<std::size_t>(group));
    }
    if (k < in) std::memcpy(to, row + k, static_cast<std::size_t>(in - k));
    std::int32_t sum = 0;
    for (std::int64_t i = 0; i < in; ++i) sum += row[i];
    sums[r] = sum;
  }
}

/// x taken apart: rows far enough apart that sixteen of them do not meet in one set of a cache.
class Digits {
 public:
  Digits(const BufferPool& pool, const RingKernel& kernel, DType dtype, std::int64_t in,
         std::int64_t rows)
      : kernel_(kernel), dtype_(dtype), in_(in), digits_(count(kernel, dtype)) {
    stride_ = row_bytes(kernel, dtype, in);
    buffer_ = pool.acquire(static_cast<std::size_t>(rows * stride_));
  }

  [[nodiscard]] static int count(const RingKernel& kernel, DType dtype) {
    return (kernel.form == RingDigits::kBytes ? 2 : 1) * (dtype == DType::kRing ? 2 : 1);
  }
  /// Bytes of a digit.
  [[nodiscard]] static std::int64_t width(const RingKernel& kernel) {
    return kernel.form == RingDigits::kBytes ? 1 : 2;
  }
  [[nodiscard]] static std::int64_t row_bytes(const RingKernel& kernel, DType dtype,
                                              std::int64_t in) {
    return round_up(in, kRingUnit) * count(kernel, dtype) * width(kernel) + 64;
  }

  void split(const std::byte* x, std::int64_t rows) {
    constexpr std::int64_t kGrain = 1 << 14;
    parallel_for(rows, std::max<std::int64_t>(1, kGrain / in_),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t r = begin; r < end; ++r) split_row(x, r);
                 });
  }

  /// Where the digits of `row` from `term` on lie.
  [[nodiscard]] const std::byte* at(std::int64_t row, std::int64_t term) const {
    return buffer_.data() + row * stride_ + term * digits_ * width(kernel_);
  }
  [[nodiscard]] std::int64_t stride() const noexcept { return stride_; }
  [[nodiscard]] int digits() const noexcept { return digits_; }

 private:
  void split_row(const std::byte* x, std::int64_t r) {
    std::byte* to = buffer_.data() + r * stride_;
    const std::byte* from = x + r * in_ * static_cast<std::int64_t>(dtype_size(dtype_));
    if (dtype_ == DType::kRing) {
      kernel_.split_ring(reinterpret_cast<const std::uint32_t*>(from), in_, to);
    } else {
      kernel_.split_i16(reinterpret_cast<const std::int16_t*>(from), in_, to);
    }
  }

  const RingKernel& kernel_;
  DType dtype_;
  std::int64_t in_;
  int digits_;
  std::int64_t stride_;
  Buffer buffer_;
};

/// A rectangle of one product.
struct Task {
  const RingMatrix& w;
  std::int64_t row, rows;
  std::int64_t panel, panels;
  void* out;  ///< of the product, where the digits' first row goes
};

void start_sums(const Task& task, bool raised, std::int64_t* v, std::int64_t stride) {
  if (!raised) {
    std::memset(v, 0, static_cast<std::size_t>(task.rows * stride) * sizeof(std::int64_t));
    return;
  }
  const std::int32_t* sums = sums_of(task.w) + task.panel * kRingPanel;
  for (std::int64_t c = 0; c < stride; ++c) v[c] = std::int64_t{sums[c]} * -0x8000;
  for (std::int64_t r = 1; r < task.rows; ++r) {
    std::memcpy(v + r * stride, v, static_cast<std::size_t>(stride) * sizeof(std::int64_t));
  }
}

/// Writes residues of [rows, stride] sums, those past the last output into nothing.
template <typename T>
void finish_sums(const Task& task, void (*reduce)(const std::int64_t*, std::int64_t, T*),
                 const std::int64_t* v, std::int64_t stride) {
  const std::int64_t first = task.panel * kRingPanel;
  const std::int64_t count = std::min(stride, task.w.out - first);
  const std::int64_t whole = count / kRingPanel * kRingPanel;
  for (std::int64_t r = 0; r < task.rows; ++r) {
    T* to = static_cast<T*>(task.out) + (task.row + r) * task.w.out + first;
    reduce(v + r * stride, whole, to);
    if (whole == count) continue;
    T rest[kRingPanel];
    reduce(v + r * stride + whole, kRingPanel, rest);
    std::memcpy(to + whole, rest, static_cast<std::size_t>(count - whole) * sizeof(T));
  }
}

void run_task(const Task& task, const RingKernel& kernel, const Digits& x, bool raised,
              DType out_dtype, std::int64_t* v) {
  const std::int64_t stride = task.panels * kRingPanel;
  const std::int64_t terms = terms_of(task.w);
  start_sums(task, raised, v, stride);
  for (std::int64_t k = 0; k < terms; k += kernel.block_terms) {
    const auto* w = reinterpret_cast<const std::int8_t*>(task.w.data.data());
    kernel.multiply({.x = x.at(task.row, k),
                     .x_stride = x.stride(),
                     .digits = x.digits(),
                     .rows = task.rows,
                     .w = w + (task.panel * terms + k) * kRingPanel,
                     .panel_stride = terms * kRingPanel,
                     .panels = task.panels,
                     .terms = std::min(kernel.block_terms, terms - k),
                     .v = v,
                     .v_stride = stride});
  }
  if (out_dtype == DType::kRing) {
    finish_sums(task, kernel.reduce_ring, v, stride);
  } else {
    finish_sums(task, kernel.reduce_ring16, v, stride);
  }
}

void check(std::span<const RingOutput> products, DType x_dtype, DType out_dtype) {
  require(x_dtype == DType::kRing || x_dtype == DType::kI16, ErrorCode::kInternal,
          "a ring product of {} rows, expected ring or int16", dtype_name(x_dtype));
  require(out_dtype == DType::kRing || out_dtype == DType::kRing16, ErrorCode::kInternal,
          "a ring product as {}, expected ring or ring16", dtype_name(out_dtype));
  for (const RingOutput& product : products) {
    require(product.w->in == products[0].w->in && product.w->kernel == products[0].w->kernel,
            ErrorCode::kInternal, "ring products of {} and {} inputs at once", products[0].w->in,
            product.w->in);
  }
}

}  // namespace

RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight) {
  return pack_ring_matrix(pool, weight, *ring_kernel());
}

RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight, const RingKernel& kernel) {
  RingMatrix w;
  w.out = weight.spec.shape[0];
  w.in = weight.spec.shape[1];
  w.kernel = &kernel;
  require(w.in <= kMaxRingTerms, ErrorCode::kUnsupported,
          "a weight has {} columns, products of the ring are exact up to {}", w.in, kMaxRingTerms);
  const std::int64_t panels = panels_of(w);
  const std::int64_t panel_bytes = terms_of(w) * kRingPanel;
  constexpr auto kSumBytes = static_cast<std::int64_t>(kRingPanel * sizeof(std::int32_t));
  w.data = pool.acquire(static_cast<std::size_t>(panels * (panel_bytes + kSumBytes)));
  std::memset(w.data.data(), 0, w.data.size());
  auto* sums = reinterpret_cast<std::int32_t*>(w.data.data() + panels * panel_bytes);
  const std::int64_t scratch_bytes = round_up(kRingPanel * w.in, 64);
  const Buffer scratch = pool.acquire(static_cast<std::size_t>(threads() * scratch_bytes));
  std::mutex mutex;
  std::exception_ptr error;
  std::int64_t failed = panels;
  parallel_tasks(panels, [&](std::int64_t panel, int thread) {
    const std::int64_t row = panel * kRingPanel;
    const std::int64_t rows = std::min(kRingPanel, w.out - row);
    auto* q = reinterpret_cast<std::int8_t*>(scratch.data() + thread * scratch_bytes);
    float scales[kRingPanel];
    try {
      quantize_weight_rows(weight, row, rows, {q, static_cast<std::size_t>(rows * w.in)},
                           {scales, static_cast<std::size_t>(rows)});
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (panel < failed) error = std::current_exception();
      failed = std::min(failed, panel);
      return;
    }
    pack_panel(q, rows, w.in, kernel.group,
               reinterpret_cast<std::int8_t*>(w.data.data() + panel * panel_bytes), sums + row);
  });
  if (error) std::rethrow_exception(error);
  return w;
}

void ring_multiply(const BufferPool& pool, std::span<const RingOutput> products, DType x_dtype,
                   const void* x, std::int64_t rows, DType out_dtype) {
  if (products.empty() || rows == 0) return;
  check(products, x_dtype, out_dtype);
  const RingKernel& kernel = *products[0].w->kernel;
  const std::int64_t in = products[0].w->in;
  const std::int64_t row_bytes = Digits::row_bytes(kernel, x_dtype, in);
  const std::int64_t most_rows =
      std::min(rows, std::max(kTaskRows, kDigitBytes / row_bytes / kTaskRows * kTaskRows));
  const std::int64_t task_panels = rows <= kFewRows ? kernel.tile_panels : kTaskPanels;
  const std::int64_t task_rows = std::min(rows, kTaskRows);
  const std::int64_t v_count = task_rows * task_panels * kRingPanel;
  Digits digits(pool, kernel, x_dtype, in, most_rows);
  const Buffer sums =
      pool.acquire(static_cast<std::size_t>(threads() * v_count) * sizeof(std::int64_t));
  const bool raised = x_dtype == DType::kI16 && kernel.form == RingDigits::kBytes;
  const auto columns = [&](const RingOutput& product) {
    return (panels_of(*product.w) + task_panels - 1) / task_panels;
  };
  std::int64_t all_columns = 0;
  for (const RingOutput& product : products) all_columns += columns(product);

  for (std::int64_t from = 0; from < rows; from += most_rows) {
    const std::int64_t count = std::min(most_rows, rows - from);
    const std::int64_t row_tasks = (count + task_rows - 1) / task_rows;
    digits.split(static_cast<const std::byte*>(x) +
                     from * in * static_cast<std::int64_t>(dtype_size(x_dtype)),
                 count);
    parallel_tasks(all_columns * row_tasks, [&](std::int64_t index, int thread) {
      std::int64_t column = index / row_tasks;
      const RingOutput* product = products.data();
      for (; column >= columns(*product); ++product) column -= columns(*product);
      const RingMatrix& w = *product->w;
      const std::int64_t row = index % row_tasks * task_rows;
      const std::int64_t panel = column * task_panels;
      run_task({.w = w,
                .row = row,
                .rows = std::min(task_rows, count - row),
                .panel = panel,
                .panels = std::min(task_panels, panels_of(w) - panel),
                .out = static_cast<std::byte*>(product->out) +
                       from * w.out * static_cast<std::int64_t>(dtype_size(out_dtype))},
               kernel, digits, raised, out_dtype, sums.as<std::int64_t>() + thread * v_count);
    });
  }
}

void ring_multiply(const BufferPool& pool, const RingMatrix& w, DType x_dtype, const void* x,
                   std::int64_t rows, DType out_dtype, void* out) {
  const RingOutput product{&w, out};
  ring_multiply(pool, {&product, 1}, x_dtype, x, rows, out_dtype);
}

std::string ring_isa() {
  return ring_kernel()->name;
}

}  // namespace airlock
