#include "airlock/kernels/gemm.h"

#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/memory_budget.h"
#include "airlock/core/process_memory.h"
#include "airlock/core/threads.h"
#include "airlock/math/convert.h"

namespace airlock {
namespace {

using Tag = dnnl::memory::format_tag;

/// What a primitive is compiled for.
struct Key {
  BatchedProduct product;
  bool packed = false;  ///< b is a PackedMatrix
  int threads = 1;      ///< oneDNN splits the work when it compiles

  friend bool operator==(const Key& a, const Key& b) {
    const auto tie = [](const Key& key) {
      const BatchedProduct& p = key.product;
      return std::tuple(p.batch, p.m, p.k, p.n, p.in, p.out, p.transpose_b, p.a_token_major,
                        p.b_token_major, p.out_token_major, key.packed, key.threads);
    };
    return tie(a) == tie(b);
  }
};

struct Primitive {
  Key key;
  dnnl::matmul matmul;
  dnnl::memory a, b, out, scratch;
  std::unordered_map<int, dnnl::memory> arguments;
  std::size_t scratch_bytes = 0;
  std::uint64_t last_used = 0;
};

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return dnnl::memory::data_type::f32;
    case DType::kBF16:
      return dnnl::memory::data_type::bf16;
    default:
      fail(ErrorCode::kInternal, "oneDNN is not used for {}", dtype_name(dtype));
  }
}

dnnl::cpu_isa cap_of(Isa most) {
  switch (most) {
    case Isa::kBase:
    case Isa::kAvx2:
      return dnnl::cpu_isa::avx2;
    case Isa::kAvx512:
      return dnnl::cpu_isa::avx512_core;
    case Isa::kAvx512Bf16:
      return dnnl::cpu_isa::avx512_core_bf16;
    case Isa::kAmx:
      break;
  }
  return dnnl::cpu_isa::all;
}

/// What oneDNN uses, within max_isa(). oneDNN takes a limit only before its first use.
dnnl::cpu_isa effective_isa() {
  static const dnnl::cpu_isa isa = [] {
    const Isa most = max_isa();
    require(most == Isa::kAmx || dnnl::set_max_cpu_isa(cap_of(most)) == dnnl::status::success,
            ErrorCode::kInternal, "oneDNN was in use before it could be limited to {}",
            isa_name(most));
    return dnnl::get_effective_cpu_isa();
  }();
  return isa;
}

TermsRule library_rule() {
  const bool on_amx = effective_isa() == dnnl::cpu_isa::avx512_core_amx;
  return [on_amx](std::int64_t terms, DType in) { return safe_terms(terms, in, on_amx); };
}

/// oneDNN's own errors are defects or exhausted memory, never a peer's doing: shapes are checked.
template <typename Body>
decltype(auto) checked(const char* what, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    fail(memory ? ErrorCode::kResourceExhausted : ErrorCode::kInternal, "oneDNN: {}: {}", what,
         error.what());
  }
}

dnnl::memory::desc left_desc(const BatchedProduct& p) {
  return {{1, p.batch, p.m, p.k}, data_type(p.in), p.a_token_major ? Tag::acbd : Tag::abcd};
}

dnnl::memory::desc right_desc(const BatchedProduct& p) {
  const Tag rows = p.b_token_major ? Tag::acbd : Tag::abcd;
  const Tag transposed = p.b_token_major ? Tag::adbc : Tag::abdc;
  return {{1, p.batch, p.k, p.n}, data_type(p.in), p.transpose_b ? transposed : rows};
}

dnnl::memory::desc out_desc(const BatchedProduct& p) {
  return {{1, p.batch, p.m, p.n}, data_type(p.out), p.out_token_major ? Tag::acbd : Tag::abcd};
}

}  // namespace

void require_room_for_code() {
  constexpr std::int64_t kMostCode = std::int64_t{8} << 20;
  require(room_for(kMostCode), ErrorCode::kResourceExhausted,
          "no memory to compile a product: RLIMIT_AS leaves {} bytes of address space",
          address_space_left());
}

struct Gemm::Impl {
  BufferPool pool;
  int capacity;
  TermsRule rule;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<Primitive> primitives;
  std::map<std::tuple<std::int64_t, std::int64_t, DType>, dnnl::memory::desc> packed_descs;
  std::uint64_t clock = 0;

  Impl(BufferPool buffers, int count, TermsRule terms_rule)
      : pool(std::move(buffers)), capacity(count), rule(std::move(terms_rule)) {
    primitives.reserve(static_cast<std::size_t>(capacity));
  }

  static dnnl::primitive_attr attributes() {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attr.set_fpmath_mode(
        dnnl::fpmath_mode::strict);  // f32 means f32, whatever the environment says
    return attr;
  }

  /// The layout that suits prefill; measured, it is as fast as any other at one row.
  const dnnl::memory::desc& packed_desc(std::int64_t in, std::int64_t out, DType dtype) {
    const auto key = std::tuple(in, out, dtype);
    const auto found = packed_descs.find(key);
    if (found != packed_descs.end()) return found->second;
    constexpr std::int64_t kPrefillRows = 1024;
    const dnnl::matmul::primitive_desc description(
        dnnl::matmul::desc({{kPrefillRows, in}, data_type(dtype), Tag::ab},
                           {{in, out}, data_type(dtype), Tag::any},
                           {{kPrefillRows, out}, dnnl::memory::data_type::f32, Tag::ab}),
        attributes(), engine);
    return packed_descs.emplace(key, description.weights_desc()).first->second;
  }

  Primitive compile(const Key& key) {
    require_room_for_code();
    const BatchedProduct& p = key.product;
    const dnnl::matmul::desc description =
        key.packed ? dnnl::matmul::desc({{p.m, p.k}, data_type(p.in), Tag::ab},
                                        packed_desc(p.k, p.n, p.in),
                                        {{p.m, p.n}, data_type(p.out), Tag::ab})
                   : dnnl::matmul::desc(left_desc(p), right_desc(p), out_desc(p));
    const dnnl::matmul::primitive_desc compiled(description, attributes(), engine);
    Primitive primitive;
    primitive.key = key;
    primitive.matmul = dnnl::matmul(compiled);
    primitive.scratch_bytes = compiled.scratchpad_desc().get_size();
    primitive.a = dnnl::memory(compiled.src_desc(), engine, nullptr);
    primitive.b = dnnl::memory(compiled.weights_desc(), engine, nullptr);
    primitive.out = dnnl::memory(compiled.dst_desc(), engine, nullptr);
    primitive.scratch = dnnl::memory(compiled.scratchpad_desc(), engine, nullptr);
    primitive.arguments = {{DNNL_ARG_SRC, primitive.a},
                           {DNNL_ARG_WEIGHTS, primitive.b},
                           {DNNL_ARG_DST, primitive.out},
                           {DNNL_ARG_SCRATCHPAD, primitive.scratch}};
    return primitive;
  }

  Primitive& find(const Key& key) {
    Primitive* oldest = nullptr;
    for (Primitive& primitive : primitives) {
      if (primitive.key == key) return primitive;
      if (oldest == nullptr || primitive.last_used < oldest->last_used) oldest = &primitive;
    }
    Primitive fresh = compile(key);
    if (static_cast<int>(primitives.size()) < capacity) {
      return primitives.emplace_back(std::move(fresh));
    }
    *oldest = std::move(fresh);
    return *oldest;
  }

  Buffer padded(const PaddedFrom& from, DType dtype, std::int64_t rows,
                std::int64_t columns) const {
    const TensorSpec spec{dtype, {from.batch, rows, columns}};
    Buffer copy = pool.acquire(static_cast<std::size_t>(spec.bytes()));
    pad(from, dtype_size(dtype), rows, columns, copy.data());
    return copy;
  }

  void run(const Key& key, const void* a, const void* b, void* out) {
    const FlushDenormals flush;
    ready_team();
    checked("matmul", [&] {
      Primitive& primitive = find(key);
      primitive.last_used = ++clock;
      const Buffer scratch = pool.acquire(primitive.scratch_bytes);
      primitive.a.set_data_handle(const_cast<void*>(a));
      primitive.b.set_data_handle(const_cast<void*>(b));
      primitive.out.set_data_handle(out);
      primitive.scratch.set_data_handle(scratch.data());
      primitive.matmul.execute(stream, primitive.arguments);
      stream.wait();
    });
  }
};

Gemm::Gemm(BufferPool pool, int capacity) : Gemm(std::move(pool), capacity, library_rule()) {}

Gemm::Gemm(BufferPool pool, int capacity, TermsRule rule) {
  effective_isa();
  require(capacity >= 1, ErrorCode::kInvalidArgument, "a cache of {} primitives", capacity);
  // oneDNN keeps 1024 compiled primitives of its own, some 100 MB; ours replaces that cache.
  static std::once_flag once;
  std::call_once(once, [] { dnnl::set_primitive_cache_capacity(0); });
  impl_ = std::make_unique<Impl>(std::move(pool), capacity, std::move(rule));
}

Gemm::~Gemm() = default;

void Gemm::forget() noexcept {
  impl_->primitives.clear();
}

int Gemm::cached() const noexcept {
  return static_cast<int>(impl_->primitives.size());
}

PackedMatrix Gemm::pack(ConstTensor weight, DType dtype) {
  const std::int64_t out = weight.spec.shape[0];
  const std::int64_t in = weight.spec.shape[1];
  Buffer converted;
  if (weight.spec.dtype == DType::kF16) {  // oneDNN 2.6 has no f16 on processors
    const TensorSpec spec{dtype, weight.spec.shape};
    converted = impl_->pool.acquire(static_cast<std::size_t>(spec.bytes()));
    convert(weight, {spec, converted.data()});
    weight = {spec, converted.data()};
  }
  const std::int64_t terms = impl_->rule(in, dtype);
  Buffer wide;
  if (terms != in) {
    wide = impl_->padded({weight.data, 1, out, in}, weight.spec.dtype, out, terms);
    weight = {{weight.spec.dtype, {out, terms}}, wide.data()};
  }
  return checked("packing weights", [&] {
    const dnnl::memory::desc& desc = impl_->packed_desc(terms, out, dtype);
    PackedMatrix packed{impl_->pool.acquire(desc.get_size()), in, out, terms, dtype};
    dnnl::memory from({{terms, out}, data_type(weight.spec.dtype), Tag::ba}, impl_->engine,
                      const_cast<std::byte*>(weight.data));
    dnnl::memory to(desc, impl_->engine, packed.data.data());
    dnnl::reorder(from, to).execute(impl_->stream, from, to);
    impl_->stream.wait();
    return packed;
  });
}

void Gemm::multiply(const void* x, std::int64_t rows, const PackedMatrix& w, DType out_dtype,
                    void* out) {
  BatchedProduct product;
  product.m = rows;
  product.k = w.terms;
  product.n = w.out;
  product.in = w.dtype;
  product.out = out_dtype;
  Buffer wide;
  if (w.terms != w.in) {
    wide = impl_->padded({x, 1, rows, w.in}, w.dtype, rows, w.terms);
    x = wide.data();
  }
  impl_->run({product, true, threads()}, x, w.data.data(), out);
}

void Gemm::multiply(const BatchedProduct& product, const void* a, const void* b, void* out) {
  const std::int64_t terms = impl_->rule(product.k, product.in);
  if (terms == product.k) return impl_->run({product, false, threads()}, a, b, out);
  const bool transposed = product.transpose_b;
  const Buffer wide_a =
      impl_->padded({a, product.batch, product.m, product.k, product.a_token_major}, product.in,
                    product.m, terms);
  const Buffer wide_b =
      impl_->padded({b, product.batch, transposed ? product.n : product.k,
                     transposed ? product.k : product.n, product.b_token_major},
                    product.in, transposed ? product.n : terms, transposed ? terms : product.n);
  BatchedProduct wide = product;
  wide.k = terms;
  wide.a_token_major = wide.b_token_major = false;
  impl_->run({wide, false, threads()}, wide_a.data(), wide_b.data(), out);
}

std::int64_t Gemm::padding_bytes(const BatchedProduct& product) const {
  const std::int64_t terms = impl_->rule(product.k, product.in);
  if (terms == product.k) return 0;
  const auto size = static_cast<std::int64_t>(dtype_size(product.in));
  return product.batch * (product.m + product.n) * terms * size;
}

int sgemm(const float* a, std::int64_t m, const float* b, std::int64_t n, std::int64_t k,
          float* out, std::int64_t out_stride) noexcept {
  const FlushDenormals flush;
  return static_cast<int>(dnnl::sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, out, out_stride));
}

void require_sgemm(int status) {
  const bool memory = status == static_cast<int>(dnnl::status::out_of_memory);
  require(status == static_cast<int>(dnnl::status::success),
          memory ? ErrorCode::kResourceExhausted : ErrorCode::kInternal, "oneDNN: sgemm: status {}",
          status);
}

std::string onednn_isa() {
  switch (effective_isa()) {
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx:
      return "avx";
    default:
      return "sse41";
  }
}

bool onednn_has_bf16() {
  const dnnl::cpu_isa isa = effective_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

}  // namespace airlock
