// What was measured once in a process and holds for every session over the same kind of link.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace airlock {

/// Values by the kind of link (WorkerSession::link_kind). Thread-safe.
template <typename Value>
class KnownByKind {
 public:
  [[nodiscard]] std::optional<Value> find(const std::string& kind) const {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find(kind);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }
  void keep(const std::string& kind, const Value& value) {
    const std::lock_guard lock(mutex_);
    values_.insert_or_assign(kind, value);
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Value> values_;
};

}  // namespace airlock
