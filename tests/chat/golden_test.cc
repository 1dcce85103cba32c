// Every template of tests/data/chat over every conversation: what jinja2, set up as transformers
// does, rendered (tools/make_chat_goldens.py).
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include <gtest/gtest.h>

#include "airlock/chat/template.h"

#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace airlock::chat_golden_test {
namespace {

using Json = nlohmann::ordered_json;

/// Thursday, 5 March 2026, 14:07:09.
std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 126;
  time.tm_mon = 2;
  time.tm_mday = 5;
  time.tm_hour = 14;
  time.tm_min = 7;
  time.tm_sec = 9;
  time.tm_wday = 4;
  time.tm_yday = 63;
  return time;
}

std::filesystem::path folder() {
  return testing::data_dir() / "chat";
}

std::string member_text(const Json& object, const char* name) {
  return object.contains(name) ? object[name].dump() : "";
}

/// What the golden should be for `conversation`: a text, {"raise": ...} or {"error": ...}.
Json rendered(const ChatTemplate& chat, const Json& conversation) {
  const std::string messages = conversation["messages"].dump();
  const std::string tools = member_text(conversation, "tools");
  const std::string documents = member_text(conversation, "documents");
  Json variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  if (conversation.contains("variables")) variables.update(conversation["variables"]);
  const std::string variables_text = variables.dump();
  ChatInput input;
  input.messages = messages;
  input.tools = tools;
  input.documents = documents;
  input.variables = variables_text;
  input.add_generation_prompt = conversation.value("add_generation_prompt", true);
  input.now = fixed_time();
  try {
    return chat.render(input);
  } catch (const ChatRefusal& refusal) {
    return {{"raise", refusal.what()}};
  } catch (const Error& error) {
    // Python's own limit of recursion is an error too.
    EXPECT_TRUE(error.code() == ErrorCode::kInvalidArgument ||
                error.code() == ErrorCode::kResourceExhausted)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("line "), std::string::npos) << error.what();
    return {{"error", error.what()}};
  }
}

void expect_golden(const Json& ours, const Json& golden) {
  if (golden.is_object() && golden.contains("error")) {
    EXPECT_TRUE(ours.is_object() && ours.contains("error")) << golden << "\n" << ours;
  } else {
    EXPECT_EQ(ours, golden) << ours;
  }
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, IsWhatJinjaRenders) {
  const Json conversations = Json::parse(testing::read_file(folder() / "conversations.json"));
  std::istringstream lines(testing::read_file(folder() / (GetParam() + ".golden")));
  const ChatTemplate chat =
      ChatTemplate::parse(testing::read_file(folder() / (GetParam() + ".jinja")));
  for (const Json& conversation : conversations) {
    SCOPED_TRACE(conversation["name"]);
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    const Json golden = Json::parse(line);
    expect_golden(rendered(chat, conversation), golden);
  }
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder()))
    if (entry.path().extension() == ".jinja") found.push_back(entry.path().stem().string());
  std::sort(found.begin(), found.end());
  return found;
}

INSTANTIATE_TEST_SUITE_P(Templates, Golden, ::testing::ValuesIn(names()),
                         [](const auto& each) { return each.param; });

TEST(Goldens, SmallTemplatesAreWhatJinjaRenders) {
  std::istringstream templates(testing::read_file(folder() / "expressions.txt"));
  std::istringstream goldens(testing::read_file(folder() / "expressions.golden"));
  const Json nobody = {{"messages", Json::array()}};
  int count = 0;
  for (std::string text, line; std::getline(templates, text); ++count) {
    SCOPED_TRACE(text);
    ASSERT_TRUE(std::getline(goldens, line));
    Json ours;
    try {
      ours = rendered(ChatTemplate::parse(text), nobody);
    } catch (const Error& error) {
      ours = {{"error", error.what()}};
    }
    expect_golden(ours, Json::parse(line));
  }
  EXPECT_GT(count, 200);
}

TEST(Goldens, AreOfAtLeast40TemplatesAnd25Conversations) {
  EXPECT_GE(names().size(), 40U);
  EXPECT_GE(Json::parse(testing::read_file(folder() / "conversations.json")).size(), 25U);
}

}  // namespace
}  // namespace airlock::chat_golden_test
