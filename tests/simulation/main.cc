// Runs the ledger's simulation over many seeds. Exit 0: no violation (or, with --expect-violation, one was
// found).
//   ledger_simulation --seeds 2000          every seed from 1
//   ledger_simulation --first 77 --seeds 1  one of them again
#include <cstdio>
#include <exception>
#include <string>

#include "base/core/options.h"
#include "tests/simulation/world.h"

namespace {

// Whatever the real classes throw is a violation too.
quire::simulation::Outcome RunSeed(uint64_t seed) {
  try {
    return quire::simulation::World(seed).Run();
  } catch (const std::exception& error) {
    quire::simulation::Outcome outcome;
    outcome.violation = std::string("thrown: ") + error.what();
    return outcome;
  }
}

}  // namespace

int main(int argc, char** argv) {
  int64_t first = 1;
  int64_t seeds = 2000;
  bool expect_violation = false;
  quire::Options options("ledger_simulation", "Simulates the ledger's protocol with faults, from seeds.");
  options.Add("first", &first, "seed", "the first seed");
  options.Add("seeds", &seeds, "seeds", "how many seeds to run", {1, 100'000'000});
  options.Add("expect-violation", &expect_violation,
              "succeed only if a violation is found (for planted bugs)");
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;

  quire::simulation::Outcome sum;
  for (int64_t seed = first; seed < first + seeds; ++seed) {
    const quire::simulation::Outcome outcome = RunSeed(static_cast<uint64_t>(seed));
    if (outcome.violation) {
      std::printf("seed %lld: %s\n", static_cast<long long>(seed), outcome.violation->c_str());
      return expect_violation ? 0 : 1;
    }
    sum.events += outcome.events;
    sum.messages += outcome.messages;
    sum.messages_lost += outcome.messages_lost;
    sum.faults += outcome.faults;
    sum.requests += outcome.requests;
    sum.entries += outcome.entries;
    sum.reaped += outcome.reaped;
    sum.stopped += outcome.stopped;
  }
  std::printf(
      "%lld seeds, %llu events, %llu messages (%llu lost), %llu faults, %llu requests, %llu entries, "
      "%llu reaped, %llu stopped: no violation\n",
      static_cast<long long>(seeds), static_cast<unsigned long long>(sum.events),
      static_cast<unsigned long long>(sum.messages), static_cast<unsigned long long>(sum.messages_lost),
      static_cast<unsigned long long>(sum.faults), static_cast<unsigned long long>(sum.requests),
      static_cast<unsigned long long>(sum.entries), static_cast<unsigned long long>(sum.reaped),
      static_cast<unsigned long long>(sum.stopped));
  return expect_violation ? 1 : 0;
}
