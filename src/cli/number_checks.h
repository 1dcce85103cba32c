// Numbers on the command line: what CLI11 2.1 takes as something else, or refuses with a riddle.
#pragma once

namespace CLI {
class App;
}

namespace airlock {

/// Puts a check before the others of every number option of `app` and its subcommands, to be called
/// once all are added: whole numbers beyond their 64 bits (which CLI11 saturates), negative ones
/// for options without a sign (which it wraps), and numbers below an option's bound (of which it
/// prints the largest double in full) are refused with the range expected.
void check_numbers(CLI::App& app);

}  // namespace airlock
