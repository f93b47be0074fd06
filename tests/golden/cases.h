// Which recordings model_golden_test.cc is run on: it is linked once with tiny_cases.cc, once with
// demo_cases.cc, so that a missing demo model fails a test of its own.
#pragma once

#include <string>
#include <vector>

namespace quire::golden {

// The most that our logits may be off, in units of what transformers' own bf16 run is off. Our bits are the
// same on every machine but for "auto" where there is AMX, so these are what was measured and 2 % for the
// differences between the ways to cut: a regression shows at once.
struct AllowedError {
  double rms = 0, max = 0;
};

struct Case {
  std::string recording;
  std::string backend;  // "reference" (fp64 sums, for small models) or what BackendOptions::isa takes
  int ranks = 1;
  AllowedError allowed;
  std::string weights = "bf16";
};

std::vector<Case> Cases();

}  // namespace quire::golden
