// A chat template, and text for its conversation: a rendering within its limits, or a typed error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "airlock/chat/template.h"
#include "airlock/core/error.h"
#include "airlock/core/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace airlock;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ChatLimits limits;
  limits.steps = 200'000;
  limits.output_bytes = 1 << 20;
  limits.memory_bytes = 16 << 20;
  limits.depth = 200;  // frames are large under the sanitizers
  ChatInput input;
  input.messages =
      R"([{"role":"system","content":"Be b\u00e9."},{"role":"user","content":[{"type":"text","text":"x y"}]},)"
      R"({"role":"assistant","content":"1","tool_calls":[{"id":"a","function":{"name":"f","arguments":{"a":1.5}}}]}])";
  input.tools = R"([{"function":{"name":"f","parameters":{"a":{"type":["x",null]}}}}])";
  input.now = std::tm{};
  try {
    const std::string rendered = ChatTemplate::parse(text).render(input, limits);
    if (rendered.size() > limits.output_bytes || !is_utf8(rendered)) std::abort();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  try {
    // The same bytes as a conversation.
    input.messages = text;
    static_cast<void>(
        ChatTemplate::parse("{{ messages }}{{ messages|tojson }}").render(input, limits));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  return 0;
}
