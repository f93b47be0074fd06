#include "worker/model/architecture.h"

#include "absl/strings/str_cat.h"

namespace quire::worker {
namespace {

constexpr Architecture kArchitectures[] = {
    {.name = "Qwen2ForCausalLM", .qkv_bias = true, .window_needs_flag = true},
    {.name = "Qwen3ForCausalLM", .head_norms = true, .head_dim = 128, .window_needs_flag = true},
    {.name = "LlamaForCausalLM"},
};

}  // namespace

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

std::string ArchitectureNames() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(architecture.name));
  }
  return names;
}

}  // namespace quire::worker
