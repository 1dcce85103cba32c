#include "cli/run_output.h"

#include <cmath>
#include <iterator>
#include <string>

#include <fmt/ranges.h>

#include "airlock/report/table.h"
#include "cli/output.h"

namespace airlock {
namespace {

/// The members of a token's object.
void append_members(std::string& out, const TokenLogprob& at, TokenPieces& pieces) {
  fmt::format_to(std::back_inserter(out), R"("token":{},"text":{},"logprob":)", at.token,
                 json_string(pieces.text(at.token)));
  out += std::isinf(at.logprob) ? "null" : fmt::format("{}", at.logprob);
}

}  // namespace

void RunOutput::begin(std::span<const std::int64_t> prompt) {
  if (ids_) print_result(fmt::format("{{\"prompt_ids\":[{}]}}\n", fmt::join(prompt, ",")));
}

void RunOutput::token(const GeneratedToken& token) {
  if (!ids_ && !logprobs_) print_result(token.text);
  if (!logprobs_) return;
  std::string line = "{";
  append_members(line, token.logprobs.chosen, pieces_);
  line += ",\"top\":[";
  for (const TokenLogprob& other : token.logprobs.top) {
    line += &other == token.logprobs.top.data() ? "{" : ",{";
    append_members(line, other, pieces_);
    line += '}';
  }
  print_result(line + "]}\n");
}

void RunOutput::end(const TextGeneration& generation) {
  if (ids_) {
    print_result(fmt::format("{{\"generated_ids\":[{}],\"finish_reason\":\"{}\"}}\n",
                             fmt::join(generation.ids(), ","),
                             finish_reason_name(generation.finished().value())));
  } else if (!logprobs_ && !generation.ids().empty()) {
    print_result("\n");
  }
}

}  // namespace airlock
