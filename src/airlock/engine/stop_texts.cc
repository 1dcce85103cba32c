#include "airlock/engine/stop_texts.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"

namespace airlock {

StopTexts::StopTexts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    require(!text.empty(), ErrorCode::kInvalidArgument, "a stop text is empty");
    require(is_utf8(text), ErrorCode::kInvalidArgument, "the stop text `{}` is not UTF-8",
            replace_ill_formed(text));
    Stop stop{text, {0}, 0};
    stop.border.reserve(text.size());
    for (std::size_t i = 1; i < text.size(); ++i) {
      advance(stop, text[i]);
      stop.border.push_back(stop.matched);
    }
    stop.matched = 0;
    stops_.push_back(std::move(stop));
  }
}

bool StopTexts::push(std::string_view text, std::string& out) {
  if (stops_.empty()) {
    out += text;
    return false;
  }
  for (const char next : text) {
    held_.push_back(next);
    std::size_t possible = 0;
    std::size_t complete = 0;
    for (Stop& stop : stops_) {
      advance(stop, next);
      possible = std::max(possible, stop.matched);
      if (stop.matched == stop.text.size()) complete = std::max(complete, stop.matched);
    }
    const std::size_t kept = complete > 0 ? complete : possible;
    out.append(held_, 0, held_.size() - kept);
    held_.erase(0, held_.size() - kept);
    if (complete > 0) {
      restart();
      return true;
    }
  }
  return false;
}

void StopTexts::flush(std::string& out) {
  out += held_;
  restart();
}

void StopTexts::advance(Stop& stop, char next) {
  while (stop.matched > 0 && stop.text[stop.matched] != next) {
    stop.matched = stop.border[stop.matched - 1];
  }
  if (stop.text[stop.matched] == next) ++stop.matched;
}

void StopTexts::restart() {
  held_.clear();
  for (Stop& stop : stops_) stop.matched = 0;
}

}  // namespace airlock
