// A worker whose model's file is cut under it goes on serving.
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::truncated_model_test {
namespace {

class CliTruncatedModel : public testing::CliFixture {
 protected:
  std::unique_ptr<testing::Process> run(const std::string& plan) {
    return start({"run", "-q", "-m", model(), "-p", "Hello", "-n", "8", "--ignore-eos", "--plan",
                  plan, "--worker", uri()});
  }
  [[nodiscard]] std::string uri() const { return "unix://" + (dir() / "w.sock").string(); }
};

TEST_F(CliTruncatedModel, OfAWorkerThatServesChangesNothing) {
  synth("served", 0);
  auto worker = start({"worker", "-m", (dir() / "served").string(), "--listen", uri()});
  ASSERT_TRUE(worker->says("listening on")) << worker->err();
  const std::vector<std::string> plans = {"baseline", "blocks", "verified"};
  std::vector<std::string> expected;
  for (const std::string& plan : plans) {
    auto before = run(plan);
    ASSERT_EQ(before->wait(), 0) << before->err();
    expected.push_back(before->out());
  }
  std::filesystem::resize_file(dir() / "served" / "model.safetensors", 100);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    auto after = run(plans[i]);
    EXPECT_EQ(after->wait(), 0) << after->err();
    EXPECT_EQ(after->out(), expected[i]);
  }
}

}  // namespace
}  // namespace airlock::truncated_model_test
