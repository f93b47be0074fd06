#include "tests/golden/cases.h"

namespace quire::golden {

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const char* recording : {"tiny-qwen2", "tiny-qwen2-yarn", "tiny-llama-tied", "tiny-llama-untied"}) {
    for (const char* backend : {"reference", "auto"}) {
      for (const int ranks : {1, 2, 3}) cases.push_back({recording, backend, ranks});
    }
  }
  return cases;
}

}  // namespace quire::golden
