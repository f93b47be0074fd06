// Runs the ledger's simulation over many seeds. Exit 0: no violation (or, with --expect-violation, one was
// found).
//   ledger_simulation --seeds 2000          every seed from 1
//   ledger_simulation --fresh 500           so many more that nobody has run yet
//   ledger_simulation --first 77 --seeds 1  one of them again
//   ledger_simulation --kept FILE           those that ever failed first; a fresh one that fails is added
//   ledger_simulation --sqlite ...          with the real SQLite store beside the model
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "base/core/options.h"
#include "base/core/test_seeds.h"
#include "tests/simulation/world.h"

namespace {

using quire::simulation::Outcome;

struct Settings {
  int64_t first = 1, seeds = 2000, fresh = 0;
  bool sqlite = false, expect_violation = false;
  std::string kept;
};

// Memory if there is some for files: a sync costs nothing there.
std::string SqlitePath() {
  const std::filesystem::path memory = "/dev/shm";
  const auto folder = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  return folder / ("quire_ledger_simulation_" + std::to_string(getpid()) + ".db");
}

void Add(const Outcome& outcome, Outcome& sum) {
  sum.events += outcome.events;
  sum.messages += outcome.messages;
  sum.messages_lost += outcome.messages_lost;
  sum.faults += outcome.faults;
  sum.requests += outcome.requests;
  sum.entries += outcome.entries;
  sum.reaped += outcome.reaped;
  sum.stopped += outcome.stopped;
  sum.forgotten += outcome.forgotten;
}

// Nothing if all went well.
std::string RunSeed(uint64_t seed, const std::string& sqlite_path, Outcome& sum) {
  const Outcome outcome = quire::simulation::World(seed, sqlite_path).Run();
  if (!outcome.violation) Add(outcome, sum);
  return outcome.violation.value_or("");
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  quire::Options options("ledger_simulation", "Simulates the ledger's protocol with faults, from seeds.");
  options.Add("first", &settings.first, "seed", "the first seed");
  options.Add("seeds", &settings.seeds, "seeds", "how many seeds to run", {1, 100'000'000});
  options.Add("fresh", &settings.fresh, "seeds", "how many more to run from a random one", {0, 100'000'000});
  options.Add("kept", &settings.kept, "FILE", "seeds to run first; fresh ones that fail are added");
  options.Add("sqlite", &settings.sqlite, "run the SQLite store beside the model and compare them");
  options.Add("expect-violation", &settings.expect_violation,
              "succeed only if a violation is found (for planted bugs)");
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;

  Outcome sum;
  const std::string path = settings.sqlite ? SqlitePath() : "";
  const quire::Seeds seeds(settings.kept,
                           settings.sqlite ? "--first $0 --seeds 1 --sqlite" : "--first $0 --seeds 1",
                           [&](uint64_t seed) { return RunSeed(seed, path, sum); });
  const bool holds =
      seeds.KeptHold() && seeds.Hold(settings.first, settings.seeds) && seeds.FreshHold(settings.fresh);
  if (!holds) return settings.expect_violation ? 0 : 1;
  std::printf(
      "%lld seeds, %llu events, %llu messages (%llu lost), %llu faults, %llu requests, %llu entries, "
      "%llu reaped, %llu stopped, %llu forgotten: no violation\n",
      static_cast<long long>(settings.seeds + settings.fresh), static_cast<unsigned long long>(sum.events),
      static_cast<unsigned long long>(sum.messages), static_cast<unsigned long long>(sum.messages_lost),
      static_cast<unsigned long long>(sum.faults), static_cast<unsigned long long>(sum.requests),
      static_cast<unsigned long long>(sum.entries), static_cast<unsigned long long>(sum.reaped),
      static_cast<unsigned long long>(sum.stopped), static_cast<unsigned long long>(sum.forgotten));
  return settings.expect_violation ? 1 : 0;
}
