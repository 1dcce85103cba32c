#include "airlock/shield/ring_model.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/math/field.h"
#include "airlock/math/field_random.h"
#include "airlock/shield/secret_memory.h"
#include "airlock/shield/tile_kernels.h"

namespace airlock {
namespace {

/// Weights that a thread quantizes at a time: they stay in its cache.
constexpr std::int64_t kPieceWeights = std::int64_t{128} << 10;
/// Weights between two reports of progress.
constexpr std::int64_t kReportWeights = std::int64_t{64} << 20;

/// Groups of a layer.
int groups_in_layer() noexcept {
  int count = 1;
  const std::span<const Weight> matrices = layer_matrices();
  for (std::size_t i = 1; i < matrices.size(); ++i) {
    count += static_cast<int>(!is_next_to(matrices[i - 1], matrices[i]));
  }
  return count;
}

void add_matrix(RingGroup& group, const ModelConfig& config, Weight weight) {
  const Shape shape = weight_shape(config, weight);
  group.weights.push_back(weight);
  group.in = shape[1];
  group.out += shape[0];
}

std::int64_t square_sum(const std::int8_t* values, std::int64_t count) {
  constexpr std::int64_t kExact = 1 << 16;  // terms of at most 127^2 in 31 bits
  std::int64_t total = 0;
  for (std::int64_t first = 0; first < count; first += kExact) {
    std::int32_t sum = 0;
    const std::int64_t end = std::min(first + kExact, count);
    for (std::int64_t i = first; i < end; ++i) sum += std::int32_t{values[i]} * values[i];
    total += sum;
  }
  return total;
}

/// What the threads of a pass over one matrix share.
struct MatrixPass {
  const Checkpoint& checkpoint;
  DType stored;
  RingProduct& product;
  std::int64_t rows_at_a_time = 0;
  std::vector<std::vector<std::byte>>& rows_read;    ///< by thread, as stored
  std::vector<std::vector<std::int8_t>>& quantized;  ///< by thread
  Buffer& sums;                                      ///< [threads][checks][in], secret
  int checks = 0;
  std::mutex mutex;
  std::int64_t largest_square = 0;
  std::exception_ptr error;

  std::uint32_t* sums_of(int thread) const {
    return sums.as<std::uint32_t>() + std::int64_t{thread} * checks * product.in;
  }

  void piece(std::int64_t index, int thread) {
    const std::int64_t in = product.in;
    const std::int64_t first = index * rows_at_a_time;
    const std::int64_t rows = std::min(rows_at_a_time, product.out - first);
    std::vector<std::int8_t>& q = quantized[static_cast<std::size_t>(thread)];
    const std::span<std::int8_t> piece(q.data(), static_cast<std::size_t>(rows * in));
    const std::int64_t row_bytes = in * static_cast<std::int64_t>(dtype_size(stored));
    const auto bytes = std::span(rows_read[static_cast<std::size_t>(thread)])
                           .first(static_cast<std::size_t>(rows * row_bytes));
    checkpoint.read(product.weight, product.layer, first * row_bytes, bytes);
    quantize_weight_rows({{stored, {rows, in}}, bytes.data()}, 0, rows, piece,
                         {product.scales.as<float>() + first, static_cast<std::size_t>(rows)},
                         first);
    std::int64_t largest = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int8_t* const values = piece.data() + row * in;
      largest = std::max(largest, square_sum(values, in));
      for (int check = 0; check < checks; ++check) {
        const std::uint32_t key =
            product.keys.as<std::uint32_t>()[check * product.out + first + row];
        field_axpy(values, key, in, sums_of(thread) + check * in);
      }
    }
    const std::lock_guard lock(mutex);
    largest_square = std::max(largest_square, largest);
  }

  /// As piece(); the first error is kept, and nothing is done after one.
  void try_piece(std::int64_t index, int thread) noexcept {
    {
      const std::lock_guard lock(mutex);
      if (error) return;
    }
    try {
      piece(index, thread);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }
};

/// Passes over all matrices of one model, and what they need of memory.
class ModelPass {
 public:
  ModelPass(const Checkpoint& checkpoint, const RingModelOptions& options,
            const std::vector<RingGroup>& groups)
      : checkpoint_(checkpoint), options_(options), secrets_(secret_blocks()), team_(threads()) {
    for (const RingGroup& group : groups) {
      for (const Weight weight : group.weights) {
        matrices_.push_back({group.layer, weight});
        total_ += checkpoint.spec(weight, group.layer).bytes();
        const Shape shape = weight_shape(checkpoint.config(), weight);
        widest_ = std::max(widest_, shape[1]);
      }
    }
    quantized_.resize(static_cast<std::size_t>(team_));
    const auto most = static_cast<std::size_t>(std::max(kPieceWeights, widest_));
    for (auto& q : quantized_) q.resize(most);
    rows_read_.resize(quantized_.size());
    for (auto& rows : rows_read_) rows.resize(most * sizeof(float));
    sums_ = secrets_.acquire(static_cast<std::size_t>(team_ * options.checks * widest_) *
                             sizeof(std::uint32_t));
  }

  std::vector<RingProduct> run() {
    std::vector<RingProduct> products;
    products.reserve(matrices_.size());
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      const auto& [layer, weight] = matrices_[i];
      if (i + 1 < matrices_.size()) {
        const auto& [next_layer, next] = matrices_[i + 1];
        checkpoint_.will_need(next, next_layer, 0, checkpoint_.spec(next, next_layer).bytes());
      }
      products.push_back(one(layer, weight));
    }
    return products;
  }

 private:
  RingProduct one(int layer, Weight weight) {
    const TensorSpec tensor = checkpoint_.spec(weight, layer);
    RingProduct product;
    product.weight = weight;
    product.layer = layer;
    product.out = tensor.shape[0];
    product.in = tensor.shape[1];
    product.scales = plain_.acquire(static_cast<std::size_t>(product.out) * sizeof(float));
    const auto key_count = static_cast<std::size_t>(options_.checks * product.out);
    const auto sum_count = static_cast<std::size_t>(options_.checks * product.in);
    if (options_.checks > 0) {
      product.keys = secrets_.acquire(key_count * sizeof(std::uint32_t));
      random_.field({product.keys.as<std::uint32_t>(), key_count});
      product.key_products = secrets_.acquire(sum_count * sizeof(std::uint32_t));
      std::fill_n(sums_.as<std::uint32_t>(), sum_count * static_cast<std::size_t>(team_), 0U);
    }

    MatrixPass pass{checkpoint_, tensor.dtype,
                    product,     std::max<std::int64_t>(1, kPieceWeights / product.in),
                    rows_read_,  quantized_,
                    sums_,       options_.checks,
                    {},          0,
                    {}};
    const std::int64_t pieces = (product.out + pass.rows_at_a_time - 1) / pass.rows_at_a_time;
    const std::int64_t wave = std::max<std::int64_t>(1, kReportWeights / kPieceWeights);
    for (std::int64_t first = 0; first < pieces; first += wave) {
      options_.stop.throw_if_stopped();
      const std::int64_t count = std::min(wave, pieces - first);
      parallel_tasks(
          count, [&](std::int64_t index, int thread) { pass.try_piece(first + index, thread); });
      if (pass.error) rethrow_naming(pass.error, tensor_name(weight, layer));
      const std::int64_t rows = std::min((first + count) * pass.rows_at_a_time, product.out);
      if (options_.progress) {
        options_.progress(done_ + tensor.bytes() / product.out * rows, total_);
      }
    }
    done_ += tensor.bytes();
    product.max_norm = std::sqrt(static_cast<double>(pass.largest_square));
    for (std::size_t i = 0; i < sum_count; ++i) {
      std::uint32_t sum = 0;
      for (int thread = 0; thread < team_; ++thread) {
        sum = field_add(sum, pass.sums_of(thread)[i]);
      }
      product.key_products.as<std::uint32_t>()[i] = sum;
    }
    return product;
  }

  [[noreturn]] static void rethrow_naming(const std::exception_ptr& error,
                                          const std::string& name) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      fail(e.code(), "{}: {}", name, e.what());
    }
  }

  const Checkpoint& checkpoint_;
  const RingModelOptions& options_;
  BufferPool plain_;
  BufferPool secrets_;
  SecretRandom random_;
  int team_;
  std::vector<std::pair<int, Weight>> matrices_;
  std::int64_t widest_ = 0;
  std::vector<std::vector<std::byte>> rows_read_;
  std::vector<std::vector<std::int8_t>> quantized_;
  Buffer sums_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

std::vector<RingGroup> ring_groups(const ModelConfig& config, bool lm_head) {
  std::vector<RingGroup> groups;
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::span<const Weight> matrices = layer_matrices();
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      if (i == 0 || !is_next_to(matrices[i - 1], matrices[i])) groups.emplace_back().layer = layer;
      add_matrix(groups.back(), config, matrices[i]);
    }
  }
  if (lm_head) add_matrix(groups.emplace_back(), config, Weight::kLmHead);
  return groups;
}

int ring_group_of(const ModelConfig& config, int layer, Weight first) {
  if (layer == kNoLayer && first == Weight::kLmHead) {
    return static_cast<int>(config.layers) * groups_in_layer();
  }
  int index = -1;
  const std::span<const Weight> matrices = layer_matrices();
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    if (i > 0 && is_next_to(matrices[i - 1], matrices[i])) continue;
    ++index;
    if (matrices[i] == first && layer >= 0 && layer < config.layers) {
      return layer * groups_in_layer() + index;
    }
  }
  fail(ErrorCode::kInternal, "no ring products begin with {} of layer {}", weight_name(first),
       layer);
}

RingModel::RingModel(const Checkpoint& checkpoint, const RingModelOptions& options)
    : checkpoint_(checkpoint),
      config_(checkpoint.config()),
      checks_(options.checks),
      options_(options),
      groups_(ring_groups(config_, options.lm_head)) {
  require(checks_ >= 0 && checks_ <= kMaxChecks, ErrorCode::kInvalidArgument,
          "{} checks a product: expected 0 to {}", checks_, kMaxChecks);
  renew_keys();
}

RingModel::~RingModel() = default;

const RingProduct& RingModel::product(int layer, Weight weight) const {
  const auto matrices = static_cast<std::int64_t>(layer_matrices().size());
  std::int64_t index = -1;
  if (layer == kNoLayer && weight == Weight::kLmHead) {
    index = config_.layers * matrices;
  } else if (layer >= 0 && layer < config_.layers) {
    const auto found = std::ranges::find(layer_matrices(), weight);
    if (found != layer_matrices().end()) {
      index = layer * matrices + (found - layer_matrices().begin());
    }
  }
  require(index >= 0 && index < std::ssize(*products_), ErrorCode::kInternal,
          "the ring has no product {} of layer {}", weight_name(weight), layer);
  return (*products_)[static_cast<std::size_t>(index)];
}

void RingModel::renew_keys() {
  // Into fresh memory: a pass that is stopped leaves the keys as they were.
  products_ = std::make_shared<const std::vector<RingProduct>>(
      ModelPass(checkpoint_, options_, groups_).run());
  failed_ = false;
}

}  // namespace airlock
