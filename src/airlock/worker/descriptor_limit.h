// How many runners the system's limit on descriptors leaves room for.
#pragma once

namespace airlock {

/// Descriptors that may be open beside one for each session, beyond those that are open already:
/// shared memory on its way, model files, the log.
inline constexpr int kSpareDescriptors = 16;

/// The sessions that fit a limit of `limit` descriptors when `open` are open and connections that
/// have not said Hello take `greeting`: `wanted` at most, and below 1 if there is no room. Pure.
[[nodiscard]] int sessions_that_fit(int wanted, int greeting, long open, long limit) noexcept;

/// Raises this process's limit on descriptors (RLIMIT_NOFILE), as far as it may, to what `wanted`
/// sessions need, and gives how many fit; fewer than wanted are logged. Throws
/// Error(kResourceExhausted) if none does.
[[nodiscard]] int make_room_for_sessions(int wanted, int greeting);

}  // namespace airlock
