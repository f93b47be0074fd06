#include "tests/golden/cases.h"

#include <utility>

namespace quire::golden {

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const std::pair<const char*, AllowedError> recordings[] = {{"tiny-qwen2", {0.58, 0.64}},
                                                             {"tiny-qwen2-yarn", {0.49, 0.33}},
                                                             {"tiny-qwen3", {0.51, 0.42}},
                                                             {"tiny-llama-tied", {0.52, 0.48}},
                                                             {"tiny-llama-untied", {0.61, 0.85}}};
  for (const auto& [recording, allowed] : recordings) {
    for (const char* backend : {"reference", "auto"}) {
      for (const int ranks : {1, 2, 3}) cases.push_back({recording, backend, ranks, allowed});
    }
    cases.push_back({recording, "amx-twin", 1, allowed});
  }
  return cases;
}

}  // namespace quire::golden
