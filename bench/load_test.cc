// A worker under load, as processes of their own: how long a token takes alone and beside a runner
// that floods the worker with large calls, then a storm of runners that are killed at random.
//
//   load_test models/demo --seconds 600 --runners 64
//
// Fails if a token beside the flooder takes more than --most times what it takes alone (p99), if a
// runner of the storm gets other tokens than the first one, if the worker ends, or if no runner is
// served after it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/core/log.h"
#include "airlock/engine/engine.h"
#include "airlock/launch/session.h"
#include "airlock/launch/shield.h"
#include "airlock/ops/rules.h"
#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/device.h"
#include "airlock/worker/server.h"

namespace airlock {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kPrompt = 16;
constexpr int kNotServed = 75;  ///< a runner's exit status: the worker was full
constexpr std::int64_t kFloodRows = 4096;

struct Flags {
  std::string role = "all";
  std::string model;
  std::string uri;
  std::string plan = "sealed";
  std::string hints;
  std::string expected;  ///< of a runner: the tokens it must get
  int runners = 64;
  int sessions = 32;
  int tokens = 300;
  double seconds = 60;
  double most = 5;
};

/// A process of a role; killed when this one ends.
class Child {
 public:
  Child(const Flags& flags, const std::vector<std::string>& more) {
    std::vector<std::string> words = {
        "load_test", flags.model, "--uri",     flags.uri,    "--plan",
        flags.plan,  "--hints",   flags.hints, "--sessions", std::to_string(flags.sessions)};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    require(pid_ >= 0, ErrorCode::kResourceExhausted, "cannot fork");
    if (pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill();
    (void)wait(0);
  }

  void kill() const { ::kill(pid_, SIGKILL); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// The status it ended with, 128 and the signal that killed it; -1: it goes on (with WNOHANG).
  int wait(int options) {
    int status = 0;
    if (::waitpid(pid_, &status, options) != pid_) return -1;
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_ = -1;
};

/// One session and an engine on it.
struct Runner {
  explicit Runner(const Flags& flags)
      : plan(find_plan(flags.plan)),
        model(Checkpoint::open(flags.model)),
        fingerprint(compute_fingerprint(model.checkpoint())),
        options(options_of(flags)),
        session(model, fingerprint, options, nullptr),
        shield(model, fingerprint, shield_options(flags)),
        endpoint(plan, session, options, &shield),
        engine(model, plan, endpoint.endpoint()) {}

  static WorkerOptions options_of(const Flags& flags) {
    WorkerOptions options;
    options.uri = flags.uri;
    return options;
  }
  [[nodiscard]] ShieldOptions shield_options(const Flags& flags) const {
    ShieldOptions shielding;
    shielding.pads.hint_cache = flags.hints;
    shielding.pads.fingerprint = fingerprint;
    shielding.pads.memory = 64 << 20;
    return for_plans(shielding, {&plan, 1});
  }

  /// Feeds a prompt and so many tokens, each the likeliest; `each` is given the ms of each.
  template <typename Each>
  std::vector<std::int64_t> run(int tokens, const Each& each) {
    std::vector<std::int64_t> ids(kPrompt);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i) + 5;
    Sequence sequence = engine.open();
    std::span<const float> logits = engine.prefill(sequence, ids);
    std::vector<std::int64_t> generated;
    for (int i = 0; i < tokens; ++i) {
      generated.push_back(std::max_element(logits.begin(), logits.end()) - logits.begin());
      const auto begin = Clock::now();
      const Feed feed{&sequence, {&generated.back(), 1}};
      logits = engine.run({&feed, 1});
      each(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    }
    return generated;
  }

  Plan plan;
  RunnerModel model;
  Fingerprint fingerprint;
  WorkerOptions options;
  WorkerSession session;
  Shield shield;
  ShieldedEndpoint endpoint;
  Engine engine;
};

void serve(const Flags& flags) {
  const auto checkpoint = Checkpoint::open(flags.model);
  const Fingerprint fingerprint = compute_fingerprint(*checkpoint);
  CheckpointSource source(checkpoint);
  const auto backend = make_backend(source, {});
  ServerOptions options;
  options.max_sessions = flags.sessions;
  Server server(*backend, fingerprint, options);
  const auto listener = listen(parse_uri(flags.uri));
  server.serve(*listener);
}

/// Large calls, one after the other, until it is killed.
void flood(const Flags& flags) {
  const RunnerModel model(Checkpoint::open(flags.model));
  RemoteClient client(connect(parse_uri(flags.uri)), model.config(),
                      compute_fingerprint(model.checkpoint()), {}, nullptr);
  Call call;
  call.layer = 0;
  call.weights = {Weight::kGate, Weight::kUp};
  const bool ring = find_plan(flags.plan).ring();
  call.op = ring ? Op::kRingLinear : Op::kBatchLinear;
  call.reply_dtype = ring ? DType::kRing : DType::kF32;
  const std::int64_t rows = std::min(kFloodRows, model.config().max_position);
  call.inputs = {{ring ? DType::kRing : DType::kF32, {rows, model.config().hidden}}};
  std::vector<Buffer> memory;
  const auto block = [&](const TensorSpec& spec) {
    memory.push_back(client.memory().acquire(static_cast<std::size_t>(spec.bytes())));
    return Tensor{spec, memory.back().data()};
  };
  const ConstTensor input = block(call.inputs[0]);
  std::vector<Tensor> outputs;
  for (const TensorSpec& spec : infer_outputs(model.config(), call)) outputs.push_back(block(spec));
  while (true) client.execute(call, {&input, 1}, outputs);
}

struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

Percentiles measure(const Flags& flags) {
  Runner runner(flags);
  (void)runner.run(20, [](double) {});
  std::vector<double> ms;
  (void)runner.run(flags.tokens, [&](double token) { ms.push_back(token); });
  std::sort(ms.begin(), ms.end());
  return {ms[ms.size() / 2], ms[ms.size() * 99 / 100]};
}

std::string tokens_of(const Flags& flags, int tokens) {
  Runner runner(flags);
  return fmt::format("{}", fmt::join(runner.run(tokens, [](double) {}), ","));
}

/// Sessions one after the other, until it is killed or the worker is full.
int run_for_ever(const Flags& flags) {
  try {
    while (true) {
      if (tokens_of(flags, 8) != flags.expected) return 1;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kResourceExhausted) return kNotServed;
    // A place given up for others, or one of too many that greet, is no fault of the worker.
    const bool evicted =
        error.code() == ErrorCode::kSessionLost || error.code() == ErrorCode::kConnectionLost;
    if (!evicted) fmt::print(stderr, "a runner failed: {}\n", error.what());
    return evicted ? kNotServed : 1;
  }
}

std::int64_t resident_kib(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6));
  }
  return 0;
}

bool storm(const Flags& flags, Child& worker) {
  const std::string expected = tokens_of(flags, 8);
  const std::int64_t before = resident_kib(worker.pid());
  std::mt19937 random(1);
  std::vector<Child> runners;
  const auto start = [&] { return Child(flags, {"--role", "runner", "--expected", expected}); };
  for (int i = 0; i < flags.runners; ++i) runners.push_back(start());
  std::int64_t killed = 0;
  std::int64_t full = 0;
  std::int64_t wrong = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(flags.seconds);
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 200));
    runners[random() % runners.size()].kill();
    for (Child& runner : runners) {
      const int status = runner.wait(WNOHANG);
      if (status < 0) continue;
      ++(status == 128 + SIGKILL ? killed : status == kNotServed ? full : wrong);
      runner = start();
    }
    if (worker.wait(WNOHANG) >= 0) {
      fmt::print("the worker ended\n");
      return false;
    }
  }
  runners.clear();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const bool serves = tokens_of(flags, 8) == expected;
  fmt::print(
      "storm: {} runners for {:.0f} s, {} killed, {} found it full, {} failed; afterwards a "
      "runner is {}served; worker {} MiB before, {} after\n",
      flags.runners, flags.seconds, killed, full, wrong, serves ? "" : "not ", before / 1024,
      resident_kib(worker.pid()) / 1024);
  return wrong == 0 && serves;
}

int run_all(Flags flags) {
  std::string folder = (std::filesystem::temp_directory_path() / "airlock-load-XXXXXX").string();
  require(::mkdtemp(folder.data()) != nullptr, ErrorCode::kIo, "no folder in {}", folder);
  const struct Remove {
    std::filesystem::path path;
    ~Remove() { std::filesystem::remove_all(path); }
  } remove{folder};
  flags.uri = "shm://" + folder + "/worker.sock";
  flags.hints = folder + "/hints";
  Child worker(flags, {"--role", "worker"});
  while (!std::filesystem::exists(folder + "/worker.sock")) {
    require(worker.wait(WNOHANG) < 0, ErrorCode::kConnectionLost, "the worker did not start");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const Percentiles alone = measure(flags);
  fmt::print("decode alone: p50 {:.2f} ms, p99 {:.2f} ms\n", alone.p50, alone.p99);
  Percentiles beside;
  {
    const Child flooder(flags, {"--role", "flooder"});
    std::this_thread::sleep_for(std::chrono::seconds(2));
    beside = measure(flags);
  }
  const double times = beside.p99 / alone.p99;
  fmt::print(
      "decode beside a flooder: p50 {:.2f} ms, p99 {:.2f} ms: {:.1f} times, at most {} "
      "expected\n",
      beside.p50, beside.p99, times, flags.most);
  std::fflush(stdout);
  const bool calm = storm(flags, worker);
  return times <= flags.most && calm ? 0 : 1;
}

int run(const Flags& flags) {
  set_log_level(LogLevel::kError);
  if (flags.role == "all") return run_all(flags);
  if (flags.role == "runner") return run_for_ever(flags);
  flags.role == "worker" ? serve(flags) : flood(flags);
  return 0;
}

}  // namespace
}  // namespace airlock

int main(int argc, char** argv) {
  // An idle side that spins would take the cores of the others; the library reads it at its start.
  if (::setenv("OMP_WAIT_POLICY", "passive", 0) == 0 &&
      std::getenv("AIRLOCK_LOAD_TEST") == nullptr) {
    ::setenv("AIRLOCK_LOAD_TEST", "1", 1);
    ::execv("/proc/self/exe", argv);
  }
  airlock::Flags flags;
  CLI::App app("A worker under load");
  app.add_option("model", flags.model, "checkpoint folder")->required();
  app.add_option("--seconds", flags.seconds, "of the storm")->capture_default_str();
  app.add_option("--runners", flags.runners, "of the storm")->capture_default_str();
  app.add_option("--sessions", flags.sessions, "that the worker has")->capture_default_str();
  app.add_option("--tokens", flags.tokens, "that are measured")->capture_default_str();
  app.add_option("--plan", flags.plan, "of the runners")->capture_default_str();
  app.add_option("--most", flags.most, "times the lone p99, beside a flooder")
      ->capture_default_str();
  for (auto [name, value] :
       {std::pair("--role", &flags.role), std::pair("--uri", &flags.uri),
        std::pair("--hints", &flags.hints), std::pair("--expected", &flags.expected)}) {
    app.add_option(name, *value)->group("");
  }
  CLI11_PARSE(app, argc, argv);
  try {
    return airlock::run(flags);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
