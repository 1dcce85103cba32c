// airlock tokenize and detokenize: the token ids of a text or a conversation, and the text of ids.
#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include <fmt/ranges.h>
#include <unistd.h>

#include "airlock/chat/template.h"
#include "airlock/core/error.h"
#include "airlock/model/tokenizer.h"
#include "airlock/report/table.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text_source.h"

namespace airlock {
namespace {

struct TokenizeFlags {
  std::string model;
  std::string text;
  std::string file;
  std::string messages;
  std::string tools;
  bool no_generation_prompt = false;
  bool rendered = false;
  bool no_bos = false;
  std::string format = "ids";
};

/// The text of a conversation, as the checkpoint's chat template has it.
std::string conversation_text(const TokenizeFlags& flags) {
  const ChatTemplate chat = ChatTemplate::load(flags.model);
  const std::string messages = read_text(flags.messages);
  const std::string tools = flags.tools.empty() ? "" : read_text(flags.tools);
  const std::string messages_name = text_name(flags.messages);
  const std::string tools_name = text_name(flags.tools);
  ChatInput input;
  input.messages = messages;
  input.messages_name = messages_name;
  input.tools = tools;
  input.tools_name = tools_name;
  input.add_generation_prompt = !flags.no_generation_prompt;
  return chat.render(input);
}

void tokenize(const TokenizeFlags& flags) {
  const bool chat = !flags.messages.empty();
  const std::string text = chat                 ? conversation_text(flags)
                           : flags.file.empty() ? flags.text
                                                : read_text(flags.file);
  if (flags.rendered) {
    print_result(text);
    return;
  }
  const auto tokenizer = Tokenizer::load(flags.model);
  // A chat template writes the BOS itself.
  const auto ids = tokenizer->encode(text, !chat && !flags.no_bos);
  warn_of_two_bos(*tokenizer, std::vector<std::int64_t>(ids.begin(), ids.end()));
  if (flags.format == "ids") {
    print_result(fmt::format("{}\n", fmt::join(ids, " ")));
    return;
  }
  Table table({{"", "id"}, {"", "token"}});
  for (const std::int32_t id : ids) table.add({std::int64_t{id}, tokenizer->token_text(id)});
  print_result(table.render(TableFormat::kJson));
}

struct DetokenizeFlags {
  std::string model;
  std::vector<std::string> ids;
  std::string file;
  bool special = false;
};

/// The words of `text`, between white space.
std::vector<std::string> words_of(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n\v\f";
  std::vector<std::string> words;
  for (std::size_t begin = text.find_first_not_of(kSpace); begin != std::string::npos;) {
    const std::size_t end = text.find_first_of(kSpace, begin);
    words.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(kSpace, end);
  }
  return words;
}

std::int32_t parse_id(const std::string& word, const Tokenizer& tokenizer) {
  std::int64_t id = -1;
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, id);
  const bool number = rest == end && error != std::errc::invalid_argument;
  require(number, ErrorCode::kInvalidArgument, "`{}` is not a token id, expected a whole number",
          word);
  require(error == std::errc() && id >= 0 && id < tokenizer.vocab_size(),
          ErrorCode::kInvalidArgument, "the tokenizer has no token {}: its ids are below {}", word,
          tokenizer.vocab_size());
  return static_cast<std::int32_t>(id);
}

void detokenize(const DetokenizeFlags& flags) {
  const auto tokenizer = Tokenizer::load(flags.model);
  std::vector<std::int32_t> ids;
  for (const std::string& word : flags.file.empty() ? flags.ids : words_of(read_text(flags.file))) {
    ids.push_back(parse_id(word, *tokenizer));
  }
  // Nothing is added to the text, so that it can be compared; only a prompt wants a line of its
  // own.
  print_result(tokenizer->decode(ids, !flags.special));
  if (::isatty(STDOUT_FILENO) != 0) print_result("\n");
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids of a text");
  command->add_option("-m,--model", flags->model, "folder with the tokenizer")->required();
  auto* text = command->add_option("-p,--prompt", flags->text, "the text");
  auto* file = command->add_option("-f,--file", flags->file, "file with the text; -: stdin");
  text->excludes(file);
  auto* messages = command->add_option("--messages", flags->messages,
                                       "file with a conversation, a JSON array of "
                                       "{\"role\", \"content\"}, for the chat template; -: stdin");
  messages->excludes(text)->excludes(file);
  command->add_option("--tools", flags->tools, "file with the tools offered, a JSON array")
      ->needs(messages);
  command
      ->add_flag("--no-generation-prompt", flags->no_generation_prompt,
                 "without what begins the assistant's answer")
      ->needs(messages);
  command->add_flag("--text", flags->rendered, "print the conversation's text, not its ids")
      ->needs(messages);
  command->add_flag("--no-bos", flags->no_bos, "without the tokens that start every text")
      ->excludes(messages);
  command->add_option("--format", flags->format, "ids, json")
      ->capture_default_str()
      ->check(CLI::IsMember({"ids", "json"}));
  command->callback([flags, text, file, messages] {
    require(*text || *file || *messages, ErrorCode::kInvalidArgument,
            "no text: give one with -p, a file with -f, or a conversation with --messages");
    tokenize(*flags);
  });
}

void add_detokenize_command(CLI::App& app) {
  auto flags = std::make_shared<DetokenizeFlags>();
  CLI::App* command = app.add_subcommand("detokenize", "Print the text of token ids");
  command->add_option("-m,--model", flags->model, "folder with the tokenizer")->required();
  auto* ids = command->add_option("ids", flags->ids, "token ids");
  auto* file =
      command->add_option("-f,--file", flags->file, "file with ids between white space; -: stdin");
  ids->excludes(file);
  command->add_flag("--special", flags->special, "print special tokens as they are spelled");
  command->callback([flags, ids, file] {
    require(*ids || *file, ErrorCode::kInvalidArgument,
            "no token ids: give some, or a file with -f");
    detokenize(*flags);
  });
}

}  // namespace airlock
