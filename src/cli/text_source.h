// Text that a command is given, and its tokens for a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/model/tokenizer.h"

namespace airlock {

/// Most that is read of a text; the largest corpora that models are measured on have a sixth of it.
inline constexpr std::size_t kMaxTextBytes = std::size_t{64} << 20U;

/// What errors call the file of a text.
std::string text_name(const std::filesystem::path& path);

/// A file's content; "-" is standard input. Throws Error(kNotFound) if it cannot be opened,
/// Error(kIo) if reading fails, Error(kInvalidArgument) past kMaxTextBytes, Error(kInterrupted).
std::string read_text(const std::filesystem::path& path);

/// The ids of `text`, with the model's BOS if `add_special`. Throws Error(kCorruptFile) if the
/// tokenizer gives an id outside the model's vocabulary, and as Tokenizer::encode does.
std::vector<std::int64_t> token_ids(const Tokenizer& tokenizer, const ModelConfig& config,
                                    std::string_view text, bool add_special);

/// Says on stderr that `ids` begin with two BOS, if they do: one of the text, and one added to it.
void warn_of_two_bos(const Tokenizer& tokenizer, std::span<const std::int64_t> ids);

}  // namespace airlock
