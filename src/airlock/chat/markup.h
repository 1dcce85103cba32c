// HTML escapes, for `|escape` and for text marked `|safe` that meets other text. Inside the chat
// room only.
#pragma once

#include <string_view>

#include "airlock/chat/value.h"

namespace airlock::chat {

/// `text` with & < > ' " escaped.
std::string_view escaped(Heap& heap, std::string_view text);

}  // namespace airlock::chat
