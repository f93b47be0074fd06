#include "tests/golden/cases.h"

namespace quire::golden {

std::vector<Case> Cases() {
  struct Recording {
    const char* name;
    AllowedError bf16, int8;
  };
  const Recording recordings[] = {{"tiny-qwen2", {0.58, 0.64}, {2.12, 2.83}},
                                  {"tiny-qwen2-yarn", {0.49, 0.33}, {1.91, 1.44}},
                                  {"tiny-qwen3", {0.51, 0.42}, {1.91, 1.54}},
                                  {"tiny-llama-tied", {0.52, 0.48}, {0.62, 0.56}},
                                  {"tiny-llama-untied", {0.61, 0.85}, {1.38, 2.05}}};
  std::vector<Case> cases;
  for (const auto& [name, bf16, int8] : recordings) {
    for (const char* backend : {"reference", "auto"}) {
      for (const int ranks : {1, 2, 3}) cases.push_back({name, backend, ranks, bf16});
      for (const int ranks : {1, 2, 3}) cases.push_back({name, backend, ranks, int8, "int8"});
    }
    cases.push_back({name, "amx-twin", 1, bf16});
  }
  return cases;
}

}  // namespace quire::golden
