#include "tests/worker/backend_suite.h"

#include "airlock/worker/cpu/cpu_backend.h"
#include "airlock/worker/cuda/cuda_backend.h"

namespace airlock::testing {

namespace {

BackendMaker cuda_maker() {
  return {"cuda",
          {DType::kF32, DType::kBF16, DType::kF16, DType::kI8},
          why_no_cuda(0),
          [](WeightSource& source, DType compute, ProductKinds products, const BufferPool&) {
            CudaBackendOptions options;
            options.products = products;
            options.compute_dtype = compute;
            options.kv_bytes = std::int64_t{64} << 20;
            return make_cuda_backend(source, options);
          }};
}

}  // namespace

const std::vector<BackendMaker>& backend_makers() {
  static const std::vector<BackendMaker> makers = [] {
    std::vector<BackendMaker> all;
    all.push_back(
        {"cpu",
         {DType::kF32, DType::kBF16},
         "",
         [](WeightSource& source, DType compute, ProductKinds products, const BufferPool& pool) {
           CpuBackendOptions options;
           options.products = products;
           options.compute_dtype = compute;
           options.pool = pool;
           return make_cpu_backend(source, options);
         }});
    if (built_with_cuda()) all.push_back(cuda_maker());
    return all;
  }();
  return makers;
}

void BackendTest::use(const ModelConfig& config, DType weights) {
  sequence_.reset();
  backend_.reset();
  weights_ = std::make_unique<RandomWeights>(config, weights);
  backend_ = GetParam().maker.make(*weights_, GetParam().compute, ProductKinds::kAll, pool_);
  sequence_ = backend_->open_sequence();
}

std::vector<OwnedTensor> BackendTest::run(BackendSequence& sequence, Call call,
                                          const std::vector<ConstTensor>& inputs) {
  if (!call.ranges.empty()) {
    call.ranges[0].tokens = static_cast<std::int32_t>(inputs[0].spec.shape[0]);
  }
  BackendSequence* const own = &sequence;
  return run(std::span(&own, 1), call, inputs);
}

std::vector<OwnedTensor> BackendTest::run(std::span<BackendSequence* const> sequences, Call call,
                                          const std::vector<ConstTensor>& inputs) {
  for (const ConstTensor& input : inputs) call.inputs.push_back(input.spec);
  std::vector<OwnedTensor> outputs;
  std::vector<Tensor> targets;
  for (const TensorSpec& spec : infer_outputs(config(), call)) outputs.emplace_back(spec);
  for (const OwnedTensor& output : outputs) targets.push_back(output.tensor());
  backend_->execute(call, sequences, inputs, targets);
  return outputs;
}

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const BackendMaker& maker : backend_makers()) {
    for (const DType compute : maker.computes) cases.push_back({maker, compute});
  }
  return cases;
}

std::string backend_case_name(const ::testing::TestParamInfo<BackendCase>& info) {
  return info.param.maker.name + "_" + std::string(dtype_name(info.param.compute));
}

Call make_call(Op op, int layer, DType reply, std::int64_t position) {
  Call call;
  call.op = op;
  call.layer = layer;
  call.reply_dtype = reply;
  if (is_attention(op)) call.ranges = {{0, 1, position}};
  return call;
}

Call linear_call(int layer, const Weights& weights, DType reply) {
  Call call = make_call(Op::kBatchLinear, layer, reply);
  call.weights = weights;
  return call;
}

const std::vector<DType>& wire_dtypes() {
  static const std::vector<DType> dtypes = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};
  return dtypes;
}

}  // namespace airlock::testing
