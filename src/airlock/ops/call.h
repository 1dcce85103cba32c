// One call of a remote operator, described without its bytes: what the plan predicts, the runner
// sends, the worker checks and the ledger records.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "airlock/core/dtype.h"
#include "airlock/core/error.h"
#include "airlock/core/tensor.h"
#include "airlock/model/tensor_table.h"

namespace airlock {

/// Remote operators. The values travel on the wire: append only, never renumber.
enum class Op : std::uint8_t {
  kInit = 0,            ///< opens a session; compares fingerprints; not part of any plan's traffic
  kEmbedding = 1,       ///< ids [tokens] i64 -> [tokens, hidden]
  kBatchLinear = 2,     ///< x [tokens, in], several weights W -> one [tokens, out] = x W^T each
  kMatmul = 3,          ///< a [batch, m, k], b [batch, n, k] or [batch, k, n] -> [batch, m, n]
  kFusedAttention = 4,  ///< q [tokens, heads*head_dim], k, v [context, heads*head_dim] (repeated)
  kFlashAttention = 5,  ///< q [tokens, heads*head_dim], k, v [tokens, kv_heads*head_dim] (new rows)
  kAttentionBlock = 6,  ///< normed x [tokens, hidden] -> [tokens, hidden]; q,k,v, RoPE, flash, o
  kGatedMlp = 7,        ///< normed x [tokens, hidden] -> [tokens, hidden]; gate, up, SiLU, down
  kLmHead = 8,          ///< x [tokens, hidden] -> [tokens, vocab]
  kRingLinear = 9,      ///< x [tokens, in] ring or int16, int8 weights W -> x W^T mod p each
  kPadProduct = 10,     ///< seed [4] i64, rows of its matrix -> [rows, out] ring, as RingLinear
};
inline constexpr int kOpCount = 11;

/// "Init", "Embedding", "BatchLinear", … as ledgers and reports spell them.
std::string_view op_name(Op op) noexcept;
bool is_op(unsigned value) noexcept;
/// True for the operators whose rows see others: those say whose rows they are, and where.
bool is_attention(Op op) noexcept;
/// True for calls that prepare runs and belong to none: Init, PadProduct. What they carry is
/// counted apart.
bool prepares(Op op) noexcept;
/// True for the exact products of the ring plans.
bool is_ring(Op op) noexcept;
/// True for the attention whose keys and values stay on the worker, sequence by sequence.
bool keeps_keys(Op op) noexcept;

/// Up to N values held inline: calls are built per operator on the hot path and never allocate.
template <typename T, int N>
class InlineList {
 public:
  InlineList() = default;
  InlineList(std::initializer_list<T> values) {
    for (const T& value : values) push_back(value);
  }
  void push_back(const T& value) {
    require(size_ < N, ErrorCode::kInternal, "more than {} entries in an inline list", N);
    values_[static_cast<std::size_t>(size_++)] = value;
  }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] const T& operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] T& operator[](int i) { return values_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const T* begin() const noexcept { return values_.data(); }
  [[nodiscard]] const T* end() const noexcept { return values_.data() + size_; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {begin(), end()}; }
  friend bool operator==(const InlineList& a, const InlineList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::array<T, N> values_{};
  int size_ = 0;
};

inline constexpr int kMaxTensors = 3;  ///< tensors in, or out, of one call
using TensorSpecs = InlineList<TensorSpec, kMaxTensors>;
using Weights = InlineList<Weight, kMaxTensors>;

/// Rows of one sequence within a call's rows; ranges lie one behind the other, in order.
struct RowRange {
  std::uint32_t sequence = 0;  ///< as the runner numbers them, in one session
  std::int32_t tokens = 0;     ///< rows
  std::int64_t position = 0;   ///< tokens of the sequence before these

  friend bool operator==(const RowRange&, const RowRange&) = default;
};

/// Rows in one PadProduct: more are asked for in several calls.
inline constexpr std::int64_t kMaxPadRows = 4096;
inline constexpr int kMaxRanges = 64;  ///< sequences in one call
using RowRanges = InlineList<RowRange, kMaxRanges>;

/// One call: the operator, its attributes, and the tensors that travel. A value type.
struct Call {
  Op op = Op::kInit;
  int layer = -1;  ///< decoder layer in [0, layers), or -1 for Embedding and LMHead
  /// BatchLinear: layer matrices, in the order of the outputs. RingLinear and PadProduct: those, or
  /// the LM head alone (then without a layer).
  Weights weights;
  bool transpose_b = false;  ///< Matmul: b is [batch, n, k]
  /// Attention: whose rows these are. PadProduct: rows [position, position + tokens) of the matrix
  /// that the seed stands for, of sequence 0. Empty elsewhere.
  RowRanges ranges;
  DType reply_dtype = DType::kF32;  ///< dtype in which the outputs travel
  TensorSpecs inputs;

  friend bool operator==(const Call&, const Call&) = default;
};

/// "BatchLinear(q,k,v) of layer 3": names a call in errors.
std::string describe(const Call& call);

/// Sum of the tensors' bytes.
std::int64_t total_bytes(const TensorSpecs& specs);

}  // namespace airlock

/// Lets errors name a call without building its text unless they are thrown.
template <>
struct fmt::formatter<airlock::Call> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const airlock::Call& call, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(airlock::describe(call), context);
  }
};
