#include <deque>
#include <map>
#include <mutex>

#include "airlock/core/error.h"
#include "airlock/link/inproc.h"
#include "airlock/link/shaped_link.h"
#include "airlock/link/wait.h"

namespace airlock {
namespace {

// Peers that connected and were not accepted yet; more are refused, as a socket's backlog would.
constexpr std::size_t kMaxWaiting = 128;

// What connect() finds by name and the listener waits on.
struct Endpoint {
  explicit Endpoint(const LinkOptions& given) : options(given) {}

  const LinkOptions options;  ///< of the listener's ends
  std::mutex mutex;
  Event arrived;
  std::deque<std::unique_ptr<Link>> waiting;
  bool closed = false;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Endpoint>> endpoints;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

class InprocListener final : public Listener {
 public:
  InprocListener(Uri uri, std::shared_ptr<Endpoint> endpoint)
      : uri_(std::move(uri)), endpoint_(std::move(endpoint)) {}
  ~InprocListener() override { close(); }

  std::unique_ptr<Link> accept() override {
    while (true) {
      {
        const std::lock_guard lock(endpoint_->mutex);
        if (endpoint_->closed) return nullptr;
        if (!endpoint_->waiting.empty()) {
          auto link = std::move(endpoint_->waiting.front());
          endpoint_->waiting.pop_front();
          return shape_as_asked(std::move(link), endpoint_->options);
        }
        endpoint_->arrived.clear();
      }
      (void)endpoint_->arrived.wait(std::nullopt, endpoint_->options.stop);
    }
  }

  const Uri& local_uri() const noexcept override { return uri_; }

  void close() noexcept override {
    std::deque<std::unique_ptr<Link>> turned_away;
    {
      const std::lock_guard lock(endpoint_->mutex);
      if (std::exchange(endpoint_->closed, true)) return;
      turned_away.swap(endpoint_->waiting);
      endpoint_->arrived.set();
    }
    const std::lock_guard lock(registry().mutex);
    registry().endpoints.erase(uri_.path);
  }

 private:
  const Uri uri_;
  const std::shared_ptr<Endpoint> endpoint_;
};

}  // namespace

std::unique_ptr<Link> connect_inproc(const Uri& uri, const LinkOptions& options) {
  std::shared_ptr<Endpoint> endpoint;
  {
    const std::lock_guard lock(registry().mutex);
    const auto found = registry().endpoints.find(uri.path);
    if (found != registry().endpoints.end()) endpoint = found->second;
  }
  require(endpoint != nullptr, ErrorCode::kConnectionRefused,
          "{}: nothing in this process listens under that name", uri.to_string());
  auto [ours, theirs] = make_inproc_links(uri.to_string(), options, endpoint->options);
  const std::lock_guard lock(endpoint->mutex);
  require(!endpoint->closed, ErrorCode::kConnectionRefused, "{}: the listener has closed",
          uri.to_string());
  require(endpoint->waiting.size() < kMaxWaiting, ErrorCode::kConnectionRefused,
          "{}: {} peers wait there already", uri.to_string(), kMaxWaiting);
  endpoint->waiting.push_back(std::move(theirs));
  endpoint->arrived.set();
  return std::move(ours);
}

std::unique_ptr<Listener> listen_inproc(const Uri& uri, const LinkOptions& options) {
  auto endpoint = std::make_shared<Endpoint>(options);
  const std::lock_guard lock(registry().mutex);
  const bool added = registry().endpoints.emplace(uri.path, endpoint).second;
  require(added, ErrorCode::kAddressInUse,
          "{}: something in this process listens under that name already; choose another",
          uri.to_string());
  return std::make_unique<InprocListener>(uri, std::move(endpoint));
}

}  // namespace airlock
