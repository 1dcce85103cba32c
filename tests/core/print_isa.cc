// Prints what Airlock computes with here, within AIRLOCK_MAX_ISA: for tools/isa_tests.sh.
#include <cstdio>

#include "airlock/core/isa.h"

int main() {
  std::puts(airlock::isa_name(airlock::isa()).data());
}
