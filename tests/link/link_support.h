// What the link tests share: connected ends of every kind, error capture, a folder of their own.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/interrupt.h"
#include "airlock/link/connect.h"
#include "airlock/link/pair.h"
#include "airlock/link/shaped_link.h"

#include "tests/support/temp_dir.h"

namespace airlock {

inline constexpr std::chrono::milliseconds kShort{50};
inline constexpr std::chrono::milliseconds kLong{20000};

using Bytes = std::vector<std::byte>;
using LinkEnds = std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>>;

/// What `action` threw; code kInternal and an empty message mean it did not throw.
struct Caught {
  bool thrown = false;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <typename Action>
Caught catch_error(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return {true, error.code(), error.what()};
  }
  return {};
}

/// Expects `action` to throw Error(`code`) with a message that contains `part`.
template <typename Action>
void expect_error(ErrorCode code, const std::string& part, Action&& action) {
  const Caught caught = catch_error(action);
  EXPECT_TRUE(caught.thrown) << "no error; expected " << error_code_name(code);
  EXPECT_EQ(error_code_name(caught.code), error_code_name(code)) << caught.message;
  EXPECT_THAT(caught.message, ::testing::HasSubstr(part));
}

/// A thread that is joined at the end of its scope. (Under a sanitizer GCC 12 warns, wrongly, of
/// uninitialised memory inside std::jthread.)
class Background {
 public:
  template <typename Action>
  explicit Background(Action action) : thread_(std::move(action)) {}
  Background(Background&&) noexcept = default;
  ~Background() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

/// Bytes that differ at every offset a lost, doubled or swapped chunk could have.
inline Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

/// A folder for socket files.
class TempFolder : public testing::TempDir {
 public:
  [[nodiscard]] std::string file(const std::string& name) const { return (path() / name).string(); }
  [[nodiscard]] Uri socket(const std::string& name) const {
    return {Transport::kUnix, file(name), "", 0};
  }
};

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

inline LinkEnds connected_through(Listener& listener) {
  auto dialled = connect(listener.local_uri(), kLong);
  return {std::move(dialled), listener.accept()};
}

inline LinkEnds connected_at(const Uri& uri) {
  const auto listener = listen(uri);
  return connected_through(*listener);
}

inline LinkEnds inherited(Transport transport) {
  LinkPair pair = make_pair(transport);
  const bool shares = transport == Transport::kShm;
  return {std::move(pair.ours), adopt_fd(pair.peer_fd.release(), shares)};
}

/// A way to get two connected ends, with a name for the test's title.
struct LinkKind {
  std::string name;
  std::function<LinkEnds()> make;
};

/// Ends that spin whatever the machine's cores.
inline LinkEnds spinning(LinkEnds ends) {
  ends.first->set_spin(true);
  ends.second->set_spin(true);
  return ends;
}

inline std::vector<LinkKind> link_kinds() {
  return {
      {"InprocPair", [] { return make_inproc_pair(); }},
      {"InprocNamed", [] { return connected_at(parse_uri("inproc:kinds")); }},
      {"UnixPair", [] { return inherited(Transport::kUnix); }},
      {"UnixPath",
       [] {
         const TempFolder folder;
         return connected_at(folder.socket("s"));
       }},
      {"ShmPair", [] { return inherited(Transport::kShm); }},
      {"TcpPair", [] { return inherited(Transport::kTcp); }},
      {"UnixPairSpinning", [] { return spinning(inherited(Transport::kUnix)); }},
      {"TcpPairSpinning", [] { return spinning(inherited(Transport::kTcp)); }},
      {"TcpPort", [] { return connected_at(parse_uri("tcp://127.0.0.1:0")); }},
  };
}

/// The same, with the first end shaped: much faster than anything that is tested.
inline std::vector<LinkKind> shaped_link_kinds() {
  std::vector<LinkKind> kinds = link_kinds();
  for (LinkKind& kind : kinds) {
    kind.make = [make = std::move(kind.make)] {
      LinkEnds ends = make();
      ends.first = shape_link(std::move(ends.first), {1e12, 0.01});
      return ends;
    };
  }
  return kinds;
}

}  // namespace airlock
