#include "airlock/chat/template.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::chat_template_test {
namespace {

std::string render(const std::string& text, std::string_view messages = "[]") {
  ChatInput input;
  input.messages = messages;
  return ChatTemplate::parse(text).render(input);
}

std::string error_of(const std::string& text, std::string_view messages = "[]") {
  try {
    return "no error: " + render(text, messages);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    return error.what();
  }
}

TEST(ChatTemplate, SaysTheLineAndWhatItExpected) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : {
           Case{"a\nb {{ 1 + }}", "line 2: found `}}`, expected an expression"},
           Case{"{% if 1 %}\n\n", "line 2: found the end of the template, expected `{% endif %}`"},
           Case{"{% for a in b %}{% endif %}", "line 1: found the tag `endif`"},
           Case{"{{ (1, 2 }}", "unexpected `}`, expected `)`"},
           Case{"{{ 'abc }}", "a string is never ended"},
           Case{"{# abc", "a comment is never ended"},
           Case{"{% raw %} abc", "`raw` is never ended"},
           Case{"{{ a ? b }}", "unexpected character `?`"},
           Case{"{{ x | nope }}", "line 1: there is no filter `nope`"},
           Case{"{{ x is nope }}", "line 1: there is no test `nope`"},
           Case{"{% include 'x' %}", "the tag `include` is not supported"},
           Case{"{% frob %}", "found the tag `frob`"},
           Case{"{% break %}", "`break` outside of a loop"},
           Case{"{% for a in b %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}",
                "`continue` outside of a loop"},
           Case{"{% set true = 1 %}", "cannot assign to `true`"},
           Case{"{% for loop in b %}{% endfor %}", "cannot assign to `loop`"},
           Case{"{% macro m(a=1, b) %}{% endmacro %}", "`b` needs a default"},
           Case{"{{ f(a=1, 2) }}", "out of order"},
           Case{"{{ f(a=1, a=2) }}", "`a` is given twice"},
           Case{"{% call 1 %}{% endcall %}", "expected a call"},
           Case{"{{ 99999999999999999999 }}", "beyond 64 bits"},
           Case{"{{ '\\ud800' }}", "no character"},
           Case{"{{ '\\x4' }}", "wants 2 hexadecimal digits"},
           Case{"\xff", "not UTF-8"},
           Case{"{{ a.b is x is y }}", "cannot be chained"},
       }) {
    const std::string error = error_of(c.text);
    EXPECT_NE(error.find(c.message), std::string::npos) << c.text << ": " << error;
  }
}

TEST(ChatTemplate, SaysTheLineOfWhatGoesWrongInRendering) {
  EXPECT_EQ(error_of("\n\n{% if 1 %}\n{{ a.b.c }}{% endif %}"),
            "chat template, line 4: 'a' is undefined");
  EXPECT_EQ(error_of("{{ {}.b.c }}"), "chat template, line 1: 'dict object' has no attribute 'b'");
  EXPECT_NE(error_of("{{ [].append(1) }}").find("cannot change a list or a dict"),
            std::string::npos);
  EXPECT_NE(error_of("{{ {}.update({}) }}").find("cannot change"), std::string::npos);
  EXPECT_NE(error_of("{{ 1 + 'a' }}").find("+ does not work between int and str"),
            std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace(_x=1) %}").find("underscore"), std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace() %}{% set ns._x = 1 %}").find("underscore"),
            std::string::npos);
}

TEST(ChatTemplate, ItsOwnRefusalIsAnErrorOfItsOwn) {
  const ChatTemplate chat = ChatTemplate::parse("\n{{ raise_exception('Only ' ~ 1 ~ ' system') }}");
  ChatInput input;
  input.messages = "[]";
  try {
    static_cast<void>(chat.render(input));
    FAIL() << "expected a ChatRefusal";
  } catch (const ChatRefusal& refusal) {
    EXPECT_STREQ(refusal.what(), "Only 1 system");
    EXPECT_EQ(refusal.code(), ErrorCode::kInvalidArgument);
  }
}

TEST(ChatTemplate, TextOfTheConversationIsInNoError) {
  const std::string messages = R"([{"role": "user", "content": "hunter2", "hunter2": 1}])";
  for (const char* const text :
       {"{{ messages[0].content + 1 }}", "{{ messages[messages[0].content].x }}",
        "{{ {}[messages[0].content].x }}", "{{ messages[0].content|int / 0 }}",
        "{{ messages[0].content.index('z') }}", "{{ messages[0].content % 5 }}",
        "{{ [1]|map(messages[0].content)|list }}", "{{ messages[0].content() }}",
        "{{ {}|attr(messages[0].content) + 1 }}", "{{ messages[0].content.format(1).x.y }}",
        "{{ strftime_now(1) }}", "{% for a, b in messages[0].content %}{% endfor %}"}) {
    const std::string error = error_of(text, messages);
    EXPECT_EQ(error.find("hunter2"), std::string::npos) << error;
    EXPECT_EQ(error.find("no error"), std::string::npos) << text << ": " << error;
  }
}

TEST(ChatTemplate, RefusesInputThatIsNotAConversation) {
  for (const char* const messages :
       {"", "{", "{}", "[1]", "null", "[{\"a\": 99999999999999999999}]", "[] []",
        "[{\"a\": \"\xff\"}]"}) {
    const std::string error = error_of("x", messages);
    EXPECT_EQ(error.find("messages"), 0U) << error;
  }
  const ChatTemplate chat = ChatTemplate::parse("x");
  ChatInput input;
  input.messages = "[]";
  input.tools = "{}";
  EXPECT_THROW(static_cast<void>(chat.render(input)), Error);
  input.tools = "";
  input.variables = "[]";
  EXPECT_THROW(static_cast<void>(chat.render(input)), Error);
}

TEST(ChatTemplate, KeysKeepTheirOrderAndNumbersTheirForm) {
  EXPECT_EQ(
      render(
          "{{ messages[0]|tojson }}",
          R"([{"z": 1, "a": 1.0, "m": 1e2, "z": 2, "b": -0.0, "n": null, "i": -9223372036854775808}])"),
      R"({"z": 2, "a": 1.0, "m": 100.0, "b": -0.0, "i": -9223372036854775808})");
}

TEST(ChatTemplate, GivenVariablesComeBeforeGlobalsAndAfterWhatTheCallFixes) {
  ChatInput input;
  input.messages = R"([{"role": "user"}])";
  input.variables = R"({"range": "mine", "messages": "not mine", "x": [1, "y"]})";
  EXPECT_EQ(ChatTemplate::parse("{{ range }} {{ messages|length }} {{ x }} {{ tools }} {{ "
                                "add_generation_prompt }}")
                .render(input),
            "mine 1 [1, 'y'] None True");
}

TEST(ChatTemplate, WithoutAClockTakesTheSystems) {
  EXPECT_EQ(render("{{ strftime_now('%Y')|int > 2000 }}"), "True");
}

TEST(ChatTemplate, RendersFromSeveralThreadsAtOnce) {
  const ChatTemplate chat = ChatTemplate::parse(
      "{% set ns = namespace(n=0) %}{% macro m(x) %}{{ x ~ '!' }}{% endmacro %}"
      "{% for i in range(200) %}{% set ns.n = ns.n + i %}{{ m(messages[0].role) }}{% endfor %}{{ "
      "ns.n }}");
  ChatInput input;
  input.messages = R"([{"role": "user"}])";
  const std::string expected = chat.render(input);
  EXPECT_TRUE(expected.ends_with("user!19900"));
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) text = chat.render(input);
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

}  // namespace
}  // namespace airlock::chat_template_test
