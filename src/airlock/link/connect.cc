#include "airlock/link/connect.h"

#include "airlock/core/error.h"
#include "airlock/link/inproc.h"
#include "airlock/link/socket_connect.h"

namespace airlock {
namespace {

[[noreturn]] void fail_unsupported(const Uri& uri) {
  fail(ErrorCode::kUnsupported,
       "{}: {} links are not built in yet; use shm:///PATH, unix:///PATH or tcp://HOST:PORT",
       uri.to_string(), transport_name(uri.transport));
}

}  // namespace

std::unique_ptr<Link> connect(const Uri& uri, std::chrono::milliseconds timeout) {
  switch (uri.transport) {
    case Transport::kInproc:
      return connect_inproc(uri, timeout);
    case Transport::kUnix:
    case Transport::kShm:
      return connect_unix(uri, timeout);
    case Transport::kTcp:
      return connect_tcp(uri, timeout);
    case Transport::kTls:
      break;
  }
  fail_unsupported(uri);
}

std::unique_ptr<Listener> listen(const Uri& uri) {
  switch (uri.transport) {
    case Transport::kInproc:
      return listen_inproc(uri);
    case Transport::kUnix:
    case Transport::kShm:
      return listen_unix(uri);
    case Transport::kTcp:
      return listen_tcp(uri);
    case Transport::kTls:
      break;
  }
  fail_unsupported(uri);
}

}  // namespace airlock
