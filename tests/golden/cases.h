// Which recordings model_golden_test.cc is run on: it is linked once with tiny_cases.cc, once with
// demo_cases.cc, so that a missing demo model fails a test of its own.
#pragma once

#include <string>
#include <vector>

namespace quire::golden {

struct Case {
  std::string recording;
  std::string backend;  // "reference" (fp64 sums, for small models) or what BackendOptions::isa takes
  int ranks = 1;
};

std::vector<Case> Cases();

}  // namespace quire::golden
