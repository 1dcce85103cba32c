// The files of a checkpoint folder beside the weights, read whole with a bound on their size.
// Inside the library only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace airlock {

/// Largest config.json or generation_config.json that is read; real ones have a few KiB.
inline constexpr std::uint64_t kMaxConfigBytes = 1 << 20;
/// Largest index that is read; that of a 405B model has about 100 KiB.
inline constexpr std::uint64_t kMaxIndexBytes = 100'000'000;

/// The content of a regular file. Throws as InputFile does, and Error(kCorruptFile) if it is longer
/// than `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// The same for a file that a checkpoint may lack: nothing if its folder lists no such name. A link
/// to nothing is listed, and throws as any other file that cannot be read.
std::optional<std::string> read_text_file_if_listed(const std::filesystem::path& path,
                                                    std::uint64_t max_bytes);

/// The weight_map of a model.safetensors.index.json: tensor name to file name. Every file name is
/// that of a .safetensors file in the same folder ("../x" and "a/b" are refused), no tensor is
/// named twice. `where` names the file in errors. Throws Error(kCorruptFile).
std::map<std::string, std::string, std::less<>> parse_weight_map(std::string_view json,
                                                                 std::string_view where);

/// `text` fit for a message: printable ASCII, at most 120 characters, the rest shown as '?' or
/// "...".
std::string excerpt(std::string_view text);

}  // namespace airlock
