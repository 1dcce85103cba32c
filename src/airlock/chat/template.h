// Chat templates of checkpoints: a conversation to the text that the model was trained to read.
#pragma once

#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "airlock/chat/limits.h"
#include "airlock/core/error.h"

namespace airlock {

namespace chat {
struct Program;
}

/// What a template itself says against a conversation, by raise_exception: what() is its message,
/// for the user, after the name of the file that the template is from. Its code is
/// kInvalidArgument.
class ChatRefusal : public Error {
 public:
  explicit ChatRefusal(const std::string& message) : Error(ErrorCode::kInvalidArgument, message) {}
};

/// A conversation, as JSON texts. The order of keys is kept: templates print it.
struct ChatInput {
  std::string_view messages;        ///< an array of objects, {"role", "content", ...}
  std::string_view tools = {};      ///< an array of objects, or "": none are given
  std::string_view documents = {};  ///< an array of objects, or "": none are given
  std::string_view variables = {};  ///< an object: more variables, say {"enable_thinking": false}
  bool add_generation_prompt = true;
  std::optional<std::tm> now;  ///< local time for strftime_now; the system's if absent
  std::string_view messages_name = "messages";  ///< what errors call `messages`, say its file
  std::string_view tools_name = "tools";        ///< what errors call `tools`
};

/// A parsed template. Immutable: several threads may render it at once.
///
/// The language is Jinja 2 as Hugging Face transformers sets it up: ImmutableSandboxedEnvironment,
/// trim_blocks, lstrip_blocks, break and continue, `generation` blocks, raise_exception,
/// strftime_now, its tojson. What templates of chats have no use for is refused: other templates
/// (include, import, extends, block), autoescape, the filters urlize, xmlattr, random, pprint,
/// filesizeformat, striptags, wordwrap, the globals cycler, joiner, lipsum. Ints have 64 bits.
class ChatTemplate {
 public:
  /// Throws Error(kInvalidArgument) with the line and what was expected.
  static ChatTemplate parse(std::string_view text);

  /// The template of a checkpoint folder: chat_template.jinja (and
  /// additional_chat_templates/tool_use.jinja), else `chat_template` of tokenizer_config.json, a
  /// string or a list of {name, template} with "default" and perhaps "tool_use", which is taken
  /// where tools are given. Special tokens of tokenizer_config.json (bos_token, eos_token, ...) are
  /// variables. Throws Error: kNotFound if there is none, kIo, kCorruptFile, and as parse does.
  static ChatTemplate load(const std::filesystem::path& model_dir);

  /// The conversation's text. As transformers does, keys of messages whose value is null are
  /// dropped, and reasoning_content, thinking and reasoning stand for each other. Throws
  /// ChatRefusal; Error(kInvalidArgument) for JSON that is not as ChatInput says, and for what the
  /// template does wrong, with its file and line; Error(kResourceExhausted) past a limit. No error
  /// holds text of the conversation, unless the template's own message quotes it.
  [[nodiscard]] std::string render(const ChatInput& input, const ChatLimits& limits = {}) const;

 private:
  struct Named {
    std::shared_ptr<const chat::Program> parsed;
    std::string where = {};  ///< the file that it is from, if it is from one
  };
  static Named parse_of(std::string_view text, const std::string& where);

  Named program_;
  Named tool_program_;  ///< without one, `program_` is for tools too
  std::vector<std::pair<std::string, std::string>> special_tokens_;
};

}  // namespace airlock
