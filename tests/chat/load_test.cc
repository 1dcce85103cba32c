// Where a checkpoint keeps its chat template, and which of several is taken.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "airlock/chat/template.h"

#include "tests/support/temp_dir.h"

namespace airlock::chat_load_test {
namespace {

class ChatLoad : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view content) {
    std::filesystem::create_directories((dir_ / name).parent_path());
    testing::write_file(dir_ / name, content);
  }
  std::string render(std::string_view tools = "", std::string_view variables = "") {
    ChatInput input;
    input.messages = "[]";
    input.tools = tools;
    input.variables = variables;
    return ChatTemplate::load(dir_.path()).render(input);
  }
  std::string error_of(ErrorCode code) {
    try {
      render();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    return "no error";
  }
  testing::TempDir dir_;
};

constexpr std::string_view kTools = R"([{"name": "f"}])";

TEST_F(ChatLoad, AStringInTheTokenizersConfiguration) {
  write("tokenizer_config.json", R"({"chat_template": "one {{ tools }}"})");
  EXPECT_EQ(render(), "one None");
  EXPECT_EQ(render(kTools), "one [{'name': 'f'}]");
}

TEST_F(ChatLoad, OfAListTheDefaultAndWithToolsTheOneForTools) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "for tools"},
            {"name": "rag", "template": "{{ broken"}, {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(render(), "plain");
  EXPECT_EQ(render(kTools), "for tools");
  EXPECT_EQ(render("[]"), "for tools");  // given, if empty: as in transformers
}

TEST_F(ChatLoad, AFileOfItsOwnGoesFirst) {
  write("tokenizer_config.json", R"({"chat_template": "config", "bos_token": "<s>"})");
  write("chat_template.jinja", "file {{ bos_token }}\n");
  EXPECT_EQ(render(), "file <s>");
  EXPECT_EQ(render(kTools), "file <s>");
  write("additional_chat_templates/tool_use.jinja", "more");
  EXPECT_EQ(render(), "file <s>");
  EXPECT_EQ(render(kTools), "more");
}

TEST_F(ChatLoad, AFileNeedsNoConfiguration) {
  write("chat_template.jinja", "{{ bos_token is defined }}");
  EXPECT_EQ(render(), "False");
}

TEST_F(ChatLoad, SpecialTokensAreVariables) {
  write(
      "tokenizer_config.json",
      R"({"chat_template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ unk_token is defined }}",
            "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null})");
  EXPECT_EQ(render(), "<s>|</s>||False");
  EXPECT_EQ(render("", R"({"bos_token": "<b>"})"), "<b>|</s>||False");
}

TEST_F(ChatLoad, SaysWhatIsMissingOrWrong) {
  EXPECT_NE(error_of(ErrorCode::kNotFound).find("no chat template"), std::string::npos);
  write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_NE(error_of(ErrorCode::kNotFound).find("expected chat_template.jinja"), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": ""}]})");
  EXPECT_NE(error_of(ErrorCode::kNotFound).find("named `default`"), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": [1]})");
  EXPECT_NE(error_of(ErrorCode::kCorruptFile).find("a string or a list"), std::string::npos);
  write("tokenizer_config.json", "[");
  EXPECT_NE(error_of(ErrorCode::kCorruptFile).find("expected a JSON object"), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": "\n{{ 1 + }}"})");
  const std::string error = error_of(ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("tokenizer_config.json: chat template, line 2"), std::string::npos) << error;
}

TEST_F(ChatLoad, SaysWhichFileCannotBeRead) {
  for (const char* file :
       {"chat_template.jinja", "tokenizer_config.json", "additional_chat_templates/tool_use.jinja",
        "additional_chat_templates"}) {
    SCOPED_TRACE(file);
    std::filesystem::remove_all(dir_ / "additional_chat_templates");
    write("tokenizer_config.json", R"({"chat_template": "config"})");
    write("chat_template.jinja", "file");
    ASSERT_EQ(render(), "file");
    const std::filesystem::path path = dir_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(path);
    std::filesystem::create_symlink("../blobs/abc", path);
    EXPECT_EQ(error_of(ErrorCode::kNotFound).find(path.string() + ": is a link to ../blobs/abc"),
              0U);
    std::filesystem::remove(path);
    if (path.extension().empty()) continue;
    write(file, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n");
    EXPECT_EQ(error_of(ErrorCode::kCorruptFile).find(path.string() + ": is a Git LFS pointer"), 0U);
  }
}

TEST_F(ChatLoad, WhatATemplateSaysBeginsWithItsFile) {
  const std::string raises = "{{ raise_exception('roles must alternate') }}";
  write("tokenizer_config.json", R"({"chat_template": ")" + raises + R"("})");
  EXPECT_EQ(error_of(ErrorCode::kInvalidArgument),
            (dir_ / "tokenizer_config.json").string() + ": roles must alternate");
  write("chat_template.jinja", raises);
  EXPECT_EQ(error_of(ErrorCode::kInvalidArgument),
            (dir_ / "chat_template.jinja").string() + ": roles must alternate");
  EXPECT_THROW(render(), ChatRefusal);
  write("chat_template.jinja", "{{ 1 + 'a' }}");
  EXPECT_EQ(error_of(ErrorCode::kInvalidArgument)
                .find((dir_ / "chat_template.jinja").string() + ": chat template, line 1: "),
            0U);
  const std::string tools = "additional_chat_templates/tool_use.jinja";
  write(tools, raises);
  try {
    render(kTools);
    ADD_FAILURE() << "no error";
  } catch (const ChatRefusal& refusal) {
    EXPECT_EQ(refusal.what(), (dir_ / tools).string() + ": roles must alternate");
  }
}

}  // namespace
}  // namespace airlock::chat_load_test
