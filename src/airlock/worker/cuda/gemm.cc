#include "airlock/worker/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <list>

#include <cublasLt.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/check.h"

namespace airlock::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kI8:
      return CUDA_R_8I;
    default:
      return CUDA_R_32F;
  }
}

/// One of cuBLASLt's handles to what describes a product, destroyed with this.
template <typename Handle, cublasStatus_t (*kDestroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) kDestroy(handle_);
  }
  [[nodiscard]] Handle* out() noexcept { return &handle_; }
  [[nodiscard]] Handle get() const noexcept { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// A row-major [rows, columns] matrix is, to cuBLASLt, a column-major [columns, rows] one.
void describe_matrix(Layout& layout, cudaDataType_t type, std::int64_t rows, std::int64_t columns,
                     const Product::Operand& operand, std::int64_t batch) {
  check(cublasLtMatrixLayoutCreate(layout.out(), type, static_cast<std::uint64_t>(columns),
                                   static_cast<std::uint64_t>(rows), operand.stride),
        "cublasLtMatrixLayoutCreate");
  const auto count = static_cast<std::int32_t>(batch);
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                         sizeof(count)),
        "cublasLtMatrixLayoutSetAttribute(BATCH_COUNT)");
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                         &operand.batch_stride, sizeof(operand.batch_stride)),
        "cublasLtMatrixLayoutSetAttribute(STRIDED_BATCH_OFFSET)");
}

/// Bytes to which every matrix of a batch of `dtype` is aligned, up to what cuBLASLt cares for.
std::uint32_t alignment_of(const void* data, DType dtype, const Product::Operand& operand,
                           std::int64_t batch) {
  constexpr std::uintptr_t kMost = 256;
  auto bits = reinterpret_cast<std::uintptr_t>(data) | kMost;
  if (batch > 1) bits |= static_cast<std::uintptr_t>(operand.batch_stride) * dtype_size(dtype);
  return std::uint32_t{1} << std::countr_zero(bits);
}

struct Alignments {
  std::uint32_t a, b, c;
  friend bool operator==(const Alignments&, const Alignments&) = default;
};

/// What cuBLASLt needs to run one product.
struct Choice {
  Product product;
  Alignments alignments{};
  Description description;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
};

}  // namespace

Product Product::linear(std::int64_t rows, std::int64_t in, std::int64_t columns, DType dtype,
                        DType out) {
  Product product;
  product.m = rows;
  product.n = columns;
  product.k = in;
  product.in = dtype;
  product.out = out;
  product.transpose_b = true;
  product.a.stride = product.b.stride = in;
  product.c.stride = columns;
  return product;
}

struct Gemm::Impl {
  cublasLtHandle_t handle = nullptr;
  DeviceBuffer workspace;
  bool tf32 = false;
  int rank = 0;
  std::list<Choice> choices;  ///< the most recently used first

  Impl(MemoryBudget& budget, bool use_tf32, int use_rank)
      : workspace(budget, MemoryNeeds::kWorkspace), tf32(use_tf32), rank(use_rank) {
    check(cublasLtCreate(&handle), "cublasLtCreate");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    choices.clear();
    cublasLtDestroy(handle);
  }

  const Choice& find(const Product& product, const Alignments& alignments) {
    const auto known = std::find_if(choices.begin(), choices.end(), [&](const Choice& choice) {
      return choice.alignments == alignments && choice.product == product;
    });
    if (known != choices.end()) {
      choices.splice(choices.begin(), choices, known);
      return choices.front();
    }
    choices.emplace_front();
    try {
      choose(choices.front(), product, alignments);
    } catch (...) {
      choices.pop_front();
      throw;
    }
    if (choices.size() > kChoices) choices.pop_back();
    return choices.front();
  }

  void choose(Choice& choice, const Product& product, const Alignments& alignments) const {
    choice.product = product;
    choice.alignments = alignments;
    const bool integer = product.in == DType::kI8;
    const cublasComputeType_t floats =
        product.in == DType::kF32 && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(choice.description.out(), integer ? CUBLAS_COMPUTE_32I : floats,
                                   integer ? CUDA_R_32I : CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    // Row-major out = a b is column-major out^T = b^T a^T: b comes first, and what is row-major
    // here is transposed already.
    const cublasOperation_t first = product.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(choice.description.get(), CUBLASLT_MATMUL_DESC_TRANSA,
                                         &first, sizeof(first)),
          "cublasLtMatmulDescSetAttribute(TRANSA)");
    const cudaDataType_t in = data_type(product.in);
    describe_matrix(choice.a, in, product.m, product.k, product.a, product.batch);
    describe_matrix(choice.b, in, product.transpose_b ? product.n : product.k,
                    product.transpose_b ? product.k : product.n, product.b, product.batch);
    describe_matrix(choice.c, integer ? CUDA_R_32I : data_type(product.out), product.m, product.n,
                    product.c, product.batch);
    ask(choice);
  }

  void ask(Choice& choice) const {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(preference.out()), "cublasLtMatmulPreferenceCreate");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(
          cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace.size()));
    // Parts of a sum are added in the sums' type or not at all.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    // cuBLASLt's first operand is our b.
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, choice.alignments.b);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, choice.alignments.a);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, choice.alignments.c);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, choice.alignments.c);
    std::array<cublasLtMatmulHeuristicResult_t, kMostRank + 1> proposals{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, choice.description.get(), choice.b.get(), choice.a.get(), choice.c.get(),
        choice.c.get(), preference.get(), rank + 1, proposals.data(), &found);
    const Product& p = choice.product;
    require(status != CUBLAS_STATUS_NOT_SUPPORTED && (status != CUBLAS_STATUS_SUCCESS || found > 0),
            ErrorCode::kInternal,
            "cublasLtMatmulAlgoGetHeuristic: no kernel for {} products of [{}, {}] and [{}, {}] "
            "in {}, written as {}",
            p.batch, p.m, p.k, p.k, p.n, dtype_name(p.in),
            p.in == DType::kI8 ? "i32" : dtype_name(p.out));
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    choice.algorithm = proposals[static_cast<std::size_t>(found - 1)].algo;
  }
};

Gemm::Gemm(MemoryBudget& budget, bool tf32, int rank)
    : impl_(std::make_unique<Impl>(budget, tf32, std::clamp(rank, 0, kMostRank))) {}
Gemm::~Gemm() = default;

void Gemm::multiply(const Product& product, const void* a, const void* b, void* out,
                    cudaStream_t stream) {
  const Choice& choice =
      impl_->find(product, {alignment_of(a, product.in, product.a, product.batch),
                            alignment_of(b, product.in, product.b, product.batch),
                            alignment_of(out, product.out, product.c, product.batch)});
  // In the type of the scale.
  const float one = 1;
  const std::int32_t integer_one = 1;
  const std::int32_t zero = 0;  // of both
  const bool integer = product.in == DType::kI8;
  const void* const factor = integer ? static_cast<const void*>(&integer_one) : &one;
  check(cublasLtMatmul(impl_->handle, choice.description.get(), factor, b, choice.b.get(), a,
                       choice.a.get(), &zero, out, choice.c.get(), out, choice.c.get(),
                       &choice.algorithm, impl_->workspace.data(),
                       static_cast<std::size_t>(impl_->workspace.size()), stream),
        "cublasLtMatmul");
}

}  // namespace airlock::cuda
