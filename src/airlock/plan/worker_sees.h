// What a worker gets to see, in plaintext, of the calls that reach it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "airlock/plan/plan.h"

namespace airlock {

/// The words in the order of the data's flow: "prompt", "hidden", "qkv", "scores", "mlp", "logits".
const std::vector<std::string_view>& visible_things();

/// Of visible_things, what the worker sees in plaintext under `plan`: what the calls of its program
/// show once they are lowered, whatever the model. Throws as build_program does.
std::vector<std::string> worker_sees(const Plan& plan);

}  // namespace airlock
