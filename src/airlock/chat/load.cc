#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "airlock/chat/parser.h"
#include "airlock/chat/template.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/input_file.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxTokenizerConfigBytes = 16 << 20;

/// A template's text, and the file that it is from.
struct NamedText {
  std::string name, text, where;
};

/// The variables that transformers' special_tokens_map gives a template.
std::vector<std::pair<std::string, std::string>> special_tokens_of(const Json& config) {
  constexpr std::array<const char*, 7> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                 "pad_token", "cls_token", "mask_token"};
  std::vector<std::pair<std::string, std::string>> tokens;
  for (const char* name : kNames) {
    const auto token = config.find(name);
    if (token == config.end()) continue;
    if (token->is_string()) {
      tokens.emplace_back(name, token->get<std::string>());
    } else if (token->is_object() && token->contains("content") &&
               (*token)["content"].is_string()) {
      tokens.emplace_back(name, (*token)["content"].get<std::string>());
    }
  }
  return tokens;
}

/// The texts of tokenizer_config.json's `chat_template`; a single one is "default".
std::vector<NamedText> templates_of(const Json& config, const std::string& where) {
  std::vector<NamedText> texts;
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return texts;
  if (found->is_string()) return {{"default", found->get<std::string>(), where}};
  const auto is_entry = [](const Json& entry) {
    return entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
           entry.contains("template") && entry["template"].is_string();
  };
  require(found->is_array() && std::all_of(found->begin(), found->end(), is_entry),
          ErrorCode::kCorruptFile,
          "{}: chat_template: expected a string or a list of {{name, template}}", where);
  for (const Json& entry : *found)
    texts.push_back(
        {entry["name"].get<std::string>(), entry["template"].get<std::string>(), where});
  return texts;
}

}  // namespace

ChatTemplate ChatTemplate::load(const std::filesystem::path& model_dir) {
  require_folder(model_dir);
  ChatTemplate made;
  std::vector<NamedText> texts;
  const std::filesystem::path config_path = model_dir / "tokenizer_config.json";
  std::string where = config_path.string();
  if (const auto text = read_text_file_if_listed(config_path, kMaxTokenizerConfigBytes)) {
    const Json config = Json::parse(*text, nullptr, false);
    require(config.is_object(), ErrorCode::kCorruptFile, "{}: expected a JSON object", where);
    made.special_tokens_ = special_tokens_of(config);
    texts = templates_of(config, where);
  }
  const std::filesystem::path jinja = model_dir / "chat_template.jinja";
  if (auto text = read_text_file_if_listed(jinja, chat::kMaxTemplateBytes)) {
    where = jinja.string();
    texts = {{"default", *std::move(text), where}};
    const std::filesystem::path more = model_dir / "additional_chat_templates";
    if (is_listed(more)) {
      require_folder(more);
      const std::filesystem::path tools = more / "tool_use.jinja";
      if (auto for_tools = read_text_file_if_listed(tools, chat::kMaxTemplateBytes))
        texts.push_back({"tool_use", *std::move(for_tools), tools.string()});
    }
  }
  require(!texts.empty(), ErrorCode::kNotFound,
          "{}: no chat template: expected chat_template.jinja, or chat_template in "
          "tokenizer_config.json",
          model_dir.string());
  for (const auto& [name, text, file] : texts) {
    if (name == "default") made.program_ = parse_of(text, file);
    if (name == "tool_use") made.tool_program_ = parse_of(text, file);
  }
  require(made.program_.parsed != nullptr, ErrorCode::kNotFound,
          "{}: no chat template named `default`", where);
  return made;
}

}  // namespace airlock
