// For tests only: which seeds a simulation runs, and what becomes of one that fails. Those that ever failed,
// a file in the source tree, come first; then fresh ones that nobody has run. What fails is printed, with how
// to run it again, and a fresh one is added to the file, to be committed with what mends it. One thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"

namespace quire {

class Seeds {
 public:
  // Says what went wrong; nothing if all went well. What it throws went wrong too.
  using Run = std::function<std::string(uint64_t seed)>;

  // `kept`: the file, if any; `again`: how to run the seed $0 again.
  Seeds(std::string kept, std::string again, Run run)
      : kept_(std::move(kept)), again_(std::move(again)), run_(std::move(run)) {}

  // False: one failed, and no more were run.
  bool Hold(uint64_t first, uint64_t count) const { return !FirstToFail(first, count); }
  bool KeptHold() const {
    std::ifstream file(kept_);
    for (uint64_t seed = 0; file >> seed;) {
      if (FirstToFail(seed, 1)) return false;
    }
    if (!file.is_open() || file.eof()) return true;
    std::printf("%s holds something that is no seed\n", kept_.c_str());
    return false;
  }
  bool FreshHold(uint64_t count) const {
    if (count == 0) return true;
    const uint64_t first = uint64_t{std::random_device()()} << 20;
    std::printf("%s\n", absl::StrCat(count, " fresh seeds from ", first).c_str());
    const std::optional<uint64_t> failed = FirstToFail(first, count);
    if (failed && !kept_.empty()) {
      const bool kept = (std::ofstream(kept_, std::ios::app) << *failed << std::endl).good();
      std::printf("%s in %s: commit it with the mend\n", kept ? "kept" : "NOT kept", kept_.c_str());
    }
    return !failed;
  }

 private:
  std::optional<uint64_t> FirstToFail(uint64_t first, uint64_t count) const {
    for (uint64_t seed = first; seed < first + count; ++seed) {
      const std::string wrong = WrongWith(seed);
      if (wrong.empty()) continue;
      std::printf("seed %s: %s (again: %s)\n", absl::StrCat(seed).c_str(), wrong.c_str(),
                  absl::Substitute(again_, seed).c_str());
      return seed;
    }
    return std::nullopt;
  }
  std::string WrongWith(uint64_t seed) const {
    try {
      return run_(seed);
    } catch (const std::exception& error) {
      return absl::StrCat("thrown: ", error.what());
    }
  }

  const std::string kept_, again_;
  const Run run_;
};

// What a test does with them: those kept and so many fresh ones, or the one that QUIRE_SEED names. An
// expectation that fails in a run is what went wrong with its seed.
inline bool SeedsHold(const std::string& kept, uint64_t fresh, const Seeds::Run& run) {
  const Seeds seeds(kept, "QUIRE_SEED=$0", [&run](uint64_t seed) -> std::string {
    const bool failed_before = ::testing::Test::HasFailure();
    std::string wrong = run(seed);
    const bool failed = !failed_before && ::testing::Test::HasFailure();
    return wrong.empty() && failed ? "an expectation failed" : wrong;
  });
  if (const char* chosen = std::getenv("QUIRE_SEED"); chosen != nullptr) {
    return seeds.Hold(std::strtoull(chosen, nullptr, 10), 1);
  }
  return seeds.KeptHold() && seeds.FreshHold(fresh);
}

}  // namespace quire
