// What the processor's backend keeps for the ring; that its products are right is in
// backend_ring_test.cc.
#include <gtest/gtest.h>

#include "airlock/worker/cpu/cpu_backend.h"

#include "tests/support/small_model.h"
#include "tests/worker/backend_model.h"

namespace airlock::ring_products_test {
namespace {

TEST(RingWeights, ForTheRingAloneAModelTakesOneByteAWeight) {
  for (const DType stored : {DType::kF32, DType::kBF16, DType::kF16}) {
    const ModelConfig config = testing::small_config();
    testing::RandomWeights weights(config, stored);
    CpuBackendOptions options;
    options.products = ProductKinds::kRing;
    const auto backend = make_cpu_backend(weights, options);
    std::int64_t elements = 0;
    std::int64_t most = 0;
    const auto add = [&](const ConstTensor& tensor) {
      const Shape& shape = tensor.spec.shape;
      elements += shape.elements();
      // Panels of at most 64 outputs, inputs in blocks of 64, and a sum of each output.
      most += (shape[0] + 63) / 64 * 64 * ((shape[1] + 63) / 64 * 64 + 4);
      EXPECT_EQ(weights.releases().at(tensor.data), 1);
    };
    add(weights.tensor(Weight::kLmHead, kNoLayer));
    for (int layer = 0; layer < config.layers; ++layer) {
      for (const Weight weight : layer_matrices()) add(weights.tensor(weight, layer));
    }
    EXPECT_GE(backend->weight_bytes(), elements);
    EXPECT_LE(backend->weight_bytes(), most);
  }
}

}  // namespace
}  // namespace airlock::ring_products_test
