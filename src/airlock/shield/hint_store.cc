#include "airlock/shield/hint_store.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <openssl/evp.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/threads.h"
#include "airlock/shield/hint_cache.h"
#include "airlock/shield/pad_products.h"
#include "airlock/shield/tile_kernels.h"

namespace airlock {
namespace {

constexpr std::int64_t kElement = sizeof(std::uint32_t);
/// Rows that a thread checks and stores at a time.
constexpr std::int64_t kRowGrain = 8;

/// What to fetch or read, in order, at most `most` rows at a time.
std::vector<PadPiece> hint_pieces(const std::vector<RingGroup>& groups, std::int64_t rows) {
  std::vector<PadPiece> pieces;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::int64_t most = pad_rows_a_call(groups[g]);
    for (std::int64_t row = 0; row < rows; row += most) {
      pieces.push_back({static_cast<int>(g), row, std::min(most, rows - row)});
    }
  }
  return pieces;
}

std::int64_t hint_payload(const std::vector<RingGroup>& groups, std::int64_t rows) {
  std::int64_t bytes = 0;
  for (const RingGroup& group : groups) bytes += rows * group.out * kElement;
  return bytes;
}

/// Fills the tables of one model.
class HintLoader {
 public:
  HintLoader(const RingModel& model, const PadOptions& options, const FieldSeed& seed)
      : model_(model),
        options_(options),
        rows_(options.lattice.rows()),
        pieces_(hint_pieces(model.groups(), rows_)) {
    for (const RingGroup& group : model.groups()) widest_ = std::max(widest_, group.in);
    file_.fingerprint = options.fingerprint;
    file_.lattice = options.lattice;
    file_.lm_head = model.groups().back().layer == kNoLayer;
    file_.bytes = hint_payload(model.groups(), rows_);
    std::int64_t begin = 0;
    for (const RingGroup& group : model.groups()) {
      file_begin_.push_back(begin);
      begin += rows_ * group.out * kElement;
    }
    make_tables(seed);
  }

  /// False if there are none on the disk, or wrong ones, which a line of the log says.
  bool read() {
    if (options_.hint_cache.empty()) return false;
    try {
      const auto reader = HintReader::open(options_.hint_cache, file_);
      if (!reader) return false;
      Buffer memory = pool_.acquire(largest_piece());
      for (const PadPiece& piece : pieces_) {
        options_.stop.throw_if_stopped();
        const auto values = place(piece, memory);
        for (std::size_t k = 0; k < values.size(); ++k) {
          reader->read(file_offset(piece, k), std::as_writable_bytes(values[k]));
        }
        accept(piece, values, (options_.hint_cache / file_.name()).string());
      }
      return true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorruptFile && error.code() != ErrorCode::kIo &&
          error.code() != ErrorCode::kCheckFailed) {
        throw;
      }
      log_warning("{}: the worker is asked for the hints again", error.what());
    }
    restart();
    return false;
  }

  void fetch(Operators& worker, const FieldSeed& seed, PadStats& stats) {
    HintWriter writer(options_.hint_cache, file_);
    PadProducts products(worker, model_, seed, stats);
    std::vector<Buffer> memory;
    for (int slot = 0; slot < products.depth(); ++slot) {
      memory.push_back(pool_.acquire(largest_piece()));
    }
    products.run(
        pieces_,
        [&](const PadPiece& piece, int slot, std::span<Tensor> outputs) {
          options_.stop.throw_if_stopped();
          const auto values = place(piece, memory[static_cast<std::size_t>(slot)]);
          for (std::size_t k = 0; k < outputs.size(); ++k) {
            outputs[k].data = std::as_writable_bytes(values[k]).data();
          }
        },
        [&](const PadPiece& piece, int slot) {
          const auto values = place(piece, memory[static_cast<std::size_t>(slot)]);
          accept(piece, values, "the worker");
          for (std::size_t k = 0; k < values.size(); ++k) {
            writer.write(file_offset(piece, k), std::as_bytes(values[k]));
          }
        });
    writer.finish();
  }

  LatticeHints take() { return std::move(hints_); }

 private:
  using Values = InlineList<std::span<std::uint32_t>, kMaxTensors>;
  /// A piece's rows of each matrix.
  struct PieceValues {
    std::array<std::span<std::uint32_t>, kMaxTensors> matrices;
    std::size_t count = 0;
    [[nodiscard]] std::size_t size() const noexcept { return count; }
    std::span<std::uint32_t> operator[](std::size_t k) const { return matrices[k]; }
  };

  const RingGroup& group_of(const PadPiece& piece) const {
    return model_.groups()[static_cast<std::size_t>(piece.group)];
  }
  const RingProduct& product_of(const PadPiece& piece, std::size_t k) const {
    const RingGroup& group = group_of(piece);
    return model_.product(group.layer, group.weights[static_cast<int>(k)]);
  }

  /// The public matrix, row-major for the checks and as a table, and tables for the hints.
  void make_tables(const FieldSeed& seed) {
    hints_.columns = PolynomialTable(pool_, options_.lattice, widest_);
    matrix_ = pool_.acquire(static_cast<std::size_t>(rows_ * widest_ * kElement));
    auto* const matrix = matrix_.as<std::uint32_t>();
    parallel_for(rows_, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        expand_field_row(seed, static_cast<std::uint64_t>(row),
                         {matrix + row * widest_, static_cast<std::size_t>(widest_)});
      }
      hints_.columns.set_rows(begin, end - begin, matrix + begin * widest_);
    });
    hints_.outputs.resize(model_.groups().size());
    for (std::size_t g = 0; g < model_.groups().size(); ++g) {
      const RingGroup& group = model_.groups()[g];
      for (int k = 0; k < group.weights.size(); ++k) {
        hints_.outputs[g][static_cast<std::size_t>(k)] = PolynomialTable(
            pool_, options_.lattice, model_.product(group.layer, group.weights[k]).out);
      }
    }
  }

  [[nodiscard]] std::size_t largest_piece() const {
    std::int64_t most = 0;
    for (const PadPiece& piece : pieces_) {
      const RingGroup& group = group_of(piece);
      most = std::max(most, piece.rows * group.out * kElement +
                                std::int64_t{kMaxTensors} * std::int64_t{BufferPool::kAlignment});
    }
    return static_cast<std::size_t>(most);
  }

  [[nodiscard]] PieceValues place(const PadPiece& piece, const Buffer& memory) const {
    PieceValues values;
    values.count = static_cast<std::size_t>(group_of(piece).weights.size());
    std::size_t offset = 0;
    for (std::size_t k = 0; k < values.count; ++k) {
      const auto count = static_cast<std::size_t>(piece.rows * product_of(piece, k).out);
      values.matrices[k] = {reinterpret_cast<std::uint32_t*>(memory.data() + offset), count};
      offset += (count * kElement + BufferPool::kAlignment - 1) / BufferPool::kAlignment *
                BufferPool::kAlignment;
    }
    return values;
  }

  /// Matrix by matrix, each row-major: independent of how the pieces were cut.
  [[nodiscard]] std::int64_t file_offset(const PadPiece& piece, std::size_t k) const {
    std::int64_t offset = file_begin_[static_cast<std::size_t>(piece.group)];
    for (std::size_t i = 0; i < k; ++i) offset += rows_ * product_of(piece, i).out * kElement;
    return offset + piece.row * product_of(piece, k).out * kElement;
  }

  /// Checks a piece and stores it. Throws Error(kCheckFailed).
  void accept(const PadPiece& piece, const PieceValues& values, std::string_view source) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      const RingProduct& product = product_of(piece, k);
      PolynomialTable& table = hints_.outputs[static_cast<std::size_t>(piece.group)][k];
      std::atomic<bool> right{true};
      parallel_for(piece.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t first = begin; first < end && right; first += kRowGrain) {
          const std::int64_t rows = std::min(kRowGrain, end - first);
          const auto part = values[k].subspan(static_cast<std::size_t>(first * product.out),
                                              static_cast<std::size_t>(rows * product.out));
          reduce_to_field(part);
          for (std::int64_t row = 0; row < rows; ++row) {
            if (!row_is_right(product, piece.row + first + row, part.data() + row * product.out)) {
              right = false;
            }
          }
          table.set_rows(piece.row + first, rows, part.data());
        }
      });
      require(right, ErrorCode::kCheckFailed,
              "a hint of {} from {} is wrong: it is not this model's, or someone changed it",
              tensor_name(product.weight, product.layer), source);
      done_ += piece.rows * product.out * kElement;
    }
    if (options_.hint_progress) options_.hint_progress(done_, file_.bytes);
  }

  [[nodiscard]] bool row_is_right(const RingProduct& product, std::int64_t row,
                                  const std::uint32_t* hint) const {
    const std::uint32_t* const input = matrix_.as<std::uint32_t>() + row * widest_;
    bool right = true;
    for (int check = 0; check < model_.checks(); ++check) {
      const std::uint32_t left =
          field_dot(hint, product.keys.as<std::uint32_t>() + check * product.out, product.out);
      const std::uint32_t expected = field_dot(
          input, product.key_products.as<std::uint32_t>() + check * product.in, product.in);
      right &= left == expected;
    }
    return right;
  }

  void restart() { done_ = 0; }

  const RingModel& model_;
  const PadOptions& options_;
  std::int64_t rows_;
  std::vector<PadPiece> pieces_;
  std::int64_t widest_ = 0;
  HintFile file_;
  std::vector<std::int64_t> file_begin_;  ///< of each group
  BufferPool pool_;
  Buffer matrix_;  ///< [rows, widest]
  LatticeHints hints_;
  std::int64_t done_ = 0;
};

}  // namespace

FieldSeed lattice_seed(const Fingerprint& fingerprint, const LatticeParameters& parameters) {
  const std::string text = fmt::format("airlock-lattice-1 N{} r{} {}", parameters.degree,
                                       parameters.rank, to_hex(fingerprint));
  FieldSeed seed{};
  unsigned int length = 0;
  const int ok =
      ::EVP_Digest(text.data(), text.size(), seed.data(), &length, ::EVP_sha256(), nullptr);
  require(ok == 1 && length == seed.size(), ErrorCode::kInternal, "SHA-256 is not available");
  return seed;
}

LatticeHints load_hints(const RingModel& model, Operators& worker, const PadOptions& options,
                        PadStats& stats) {
  check_lattice(options.lattice);
  require(model.checks() > 0, ErrorCode::kInvalidArgument,
          "hints cannot be checked without a check vector: expected 1 or 2");
  const FieldSeed seed = lattice_seed(options.fingerprint, options.lattice);
  HintLoader loader(model, options, seed);
  if (!loader.read()) loader.fetch(worker, seed, stats);
  return loader.take();
}

HintBytes hint_bytes(const ModelConfig& config, bool lm_head, const LatticeParameters& parameters) {
  const std::vector<RingGroup> groups = ring_groups(config, lm_head);
  HintBytes bytes;
  bytes.calls = std::ssize(hint_pieces(groups, parameters.rows()));
  bytes.sent = bytes.calls * static_cast<std::int64_t>(sizeof(FieldSeed));
  bytes.received = hint_payload(groups, parameters.rows());
  return bytes;
}

}  // namespace airlock
