#include "cli/device_flags.h"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/quantity.h"

namespace airlock {
namespace {

DType parse_compute_dtype(const std::string& name, const Device& device) {
  const DType dtype = parse_dtype(name);
  const bool everywhere = dtype == DType::kF32 || dtype == DType::kBF16;
  require(everywhere || dtype == DType::kF16 || dtype == DType::kI8, ErrorCode::kInvalidArgument,
          "--compute-dtype is {}, expected f32, bf16, f16 or int8", name);
  require(everywhere || device.kind == Device::Kind::kCuda, ErrorCode::kInvalidArgument,
          "--compute-dtype {} is for GPUs (--device cuda:0): processors compute in f32 or bf16",
          dtype_name(dtype));
  return dtype;
}

}  // namespace

void DeviceFlags::add_to(CLI::App& app, std::string_view whose, const std::string& group) {
  const std::string of(whose);
  const auto placed = [&](CLI::Option* option) {
    if (!group.empty()) option->group(group);
    return option;
  };
  placed(app.add_option("--device", device_, fmt::format("device{}: cpu, cuda:N", of)))
      ->capture_default_str();
  placed(app.add_option("--compute-dtype", compute_dtype_,
                        fmt::format("products{}: f32, bf16, on GPUs also f16, int8", of)))
      ->capture_default_str();
  if (whose.empty()) {  // one started here has what its plans need
    app.add_option("--products", products_, "what weights are prepared for: plain, ring or all")
        ->capture_default_str();
  }
  placed(app.add_option("--kv-budget", kv_gib_,
                        fmt::format("GiB of KV cache{}, of all sessions together", of)))
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  placed(app.add_option("--gpu-memory", gpu_gib_,
                        fmt::format("GiB of GPU memory{} at most; 0: what is free", of)))
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  placed(app.add_flag("--tf32", tf32_,
                      fmt::format("TF32 for f32 products on the GPU{}: faster, less exact", of)));
}

ComputeOptions DeviceFlags::options() const {
  ComputeOptions options;
  options.device = parse_device(device_);
  options.dtype = parse_compute_dtype(compute_dtype_, options.device);
  options.products = parse_product_kinds(products_);
  options.kv_bytes = bytes_of_gib("--kv-budget", kv_gib_);
  options.gpu_memory = bytes_of_gib("--gpu-memory", gpu_gib_);
  options.tf32 = tf32_;
  return options;
}

}  // namespace airlock
