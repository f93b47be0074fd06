#include "tests/golden/cases.h"

namespace quire::golden {

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const int ranks : {1, 2, 3}) cases.push_back({"smollm2", "auto", ranks, {0.42, 0.34}});
  cases.push_back({"smollm2", "amx-twin", 1, {0.42, 0.34}});
  cases.push_back({"smollm2", "auto", 1, {1.09, 1.03}, "int8"});
  cases.push_back({"smollm2", "auto", 2, {1.14, 1.50}, "int8"});
  return cases;
}

}  // namespace quire::golden
