#include "airlock/math/byte_planes.h"

#include <cstring>

#include "airlock/core/error.h"
#include "airlock/math/simd_cap.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/byte_planes.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using U8 = hn::ScalableTag<std::uint8_t>;

/// Calls body(i) for i such that [i, i + lanes) covers [0, count): the last vector overlaps the one
/// before it. Returns false if there is not one vector in `count`.
template <class Body>
HWY_INLINE bool for_each_vector_of_bytes(std::int64_t count, const Body& body) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(U8()));
  if (count < lanes) return false;
  for (std::int64_t i = 0; i + lanes <= count; i += lanes) body(i);
  if (count % lanes != 0) body(count - lanes);
  return true;
}

bool split_two(const std::uint8_t* from, std::int64_t count, std::uint8_t* const* to) {
  const U8 d;
  return for_each_vector_of_bytes(count, [&](std::int64_t i) {
    hn::Vec<U8> v0, v1;
    hn::LoadInterleaved2(d, from + 2 * i, v0, v1);
    hn::StoreU(v0, d, to[0] + i);
    hn::StoreU(v1, d, to[1] + i);
  });
}

bool split_four(const std::uint8_t* from, std::int64_t count, std::uint8_t* const* to) {
  const U8 d;
  return for_each_vector_of_bytes(count, [&](std::int64_t i) {
    hn::Vec<U8> v0, v1, v2, v3;
    hn::LoadInterleaved4(d, from + 4 * i, v0, v1, v2, v3);
    hn::StoreU(v0, d, to[0] + i);
    hn::StoreU(v1, d, to[1] + i);
    hn::StoreU(v2, d, to[2] + i);
    hn::StoreU(v3, d, to[3] + i);
  });
}

bool join_two(const std::uint8_t* const* from, std::int64_t count, std::uint8_t* to) {
  const U8 d;
  return for_each_vector_of_bytes(count, [&](std::int64_t i) {
    hn::StoreInterleaved2(hn::LoadU(d, from[0] + i), hn::LoadU(d, from[1] + i), d, to + 2 * i);
  });
}

bool join_four(const std::uint8_t* const* from, std::int64_t count, std::uint8_t* to) {
  const U8 d;
  return for_each_vector_of_bytes(count, [&](std::int64_t i) {
    hn::StoreInterleaved4(hn::LoadU(d, from[0] + i), hn::LoadU(d, from[1] + i),
                          hn::LoadU(d, from[2] + i), hn::LoadU(d, from[3] + i), d, to + 4 * i);
  });
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(split_two);
HWY_EXPORT(split_four);
HWY_EXPORT(join_two);
HWY_EXPORT(join_four);

namespace {
void check_planes(std::size_t planes) {
  require(planes == 1 || planes == 2 || planes == kMaxBytePlanes, ErrorCode::kInvalidArgument,
          "byte planes: {} planes, expected 1, 2 or 4", planes);
}
}  // namespace

void split_byte_planes(const std::byte* elements, std::int64_t count,
                       std::span<std::byte* const> planes) {
  check_planes(planes.size());
  if (count <= 0) return;
  if (planes.size() == 1) {
    std::memcpy(planes[0], elements, static_cast<std::size_t>(count));
    return;
  }
  std::uint8_t* to[kMaxBytePlanes] = {};
  for (std::size_t p = 0; p < planes.size(); ++p)
    to[p] = reinterpret_cast<std::uint8_t*>(planes[p]);
  const auto* from = reinterpret_cast<const std::uint8_t*>(elements);
  if (planes.size() == 2 ? HWY_DYNAMIC_DISPATCH(split_two)(from, count, to)
                         : HWY_DYNAMIC_DISPATCH(split_four)(from, count, to)) {
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::size_t p = 0; p < planes.size(); ++p) to[p][i] = *from++;
  }
}

void join_byte_planes(std::span<const std::byte* const> planes, std::int64_t count,
                      std::byte* elements) {
  check_planes(planes.size());
  if (count <= 0) return;
  if (planes.size() == 1) {
    std::memcpy(elements, planes[0], static_cast<std::size_t>(count));
    return;
  }
  const std::uint8_t* from[kMaxBytePlanes] = {};
  for (std::size_t p = 0; p < planes.size(); ++p) {
    from[p] = reinterpret_cast<const std::uint8_t*>(planes[p]);
  }
  auto* to = reinterpret_cast<std::uint8_t*>(elements);
  if (planes.size() == 2 ? HWY_DYNAMIC_DISPATCH(join_two)(from, count, to)
                         : HWY_DYNAMIC_DISPATCH(join_four)(from, count, to)) {
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::size_t p = 0; p < planes.size(); ++p) *to++ = from[p][i];
  }
}

}  // namespace airlock
#endif
