#include "airlock/core/device.h"

#include <charconv>

#include "airlock/core/error.h"

namespace airlock {

Device parse_device(std::string_view name) {
  if (name == "cpu") return {};
  if (name == "cuda") return {Device::Kind::kCuda, 0};
  constexpr std::string_view kPrefix = "cuda:";
  if (name.starts_with(kPrefix)) {
    int index = -1;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, index);
    if (error == std::errc() && rest == end && index >= 0) return {Device::Kind::kCuda, index};
  }
  fail(ErrorCode::kInvalidArgument, "--device {}: expected cpu or cuda:N, e.g. cuda:0", name);
}

ProductKinds parse_product_kinds(std::string_view name) {
  for (const ProductKinds kinds : {ProductKinds::kPlain, ProductKinds::kRing, ProductKinds::kAll}) {
    if (name == product_kinds_name(kinds)) return kinds;
  }
  fail(ErrorCode::kInvalidArgument, "unknown products `{}`, expected plain, ring or all", name);
}

std::string_view product_kinds_name(ProductKinds kinds) noexcept {
  if (kinds == ProductKinds::kAll) return "all";
  return kinds == ProductKinds::kRing ? "ring" : "plain";
}

std::string device_name(const Device& device) {
  return device.kind == Device::Kind::kCpu ? "cpu" : fmt::format("cuda:{}", device.index);
}

}  // namespace airlock
