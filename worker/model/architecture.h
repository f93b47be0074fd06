// The architectures that this program computes, a row each: by what name config.json calls one, and in what
// it differs from the forward pass that all share (decoder.h). A new one that differs in nothing else is a
// row in architecture.cc; CONTRIBUTING.md says what goes with it. Constants, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quire::worker {

struct Architecture {
  std::string_view name;
  bool qkv_bias = false;    // of the q, k and v projections
  bool head_norms = false;  // RMSNorm over each head of q and of k, before they are rotated
  // Where config.json has no head_dim; 0 = hidden_size over the heads.
  int64_t head_dim = 0;
  // config.json names a sliding_window that only use_sliding_window brings into use; else one that is named
  // is in use.
  bool window_needs_flag = false;
};

// Null where there is none of that name. Lives as long as the program.
const Architecture* FindArchitecture(std::string_view name);
// All names, for a message.
std::string ArchitectureNames();

}  // namespace quire::worker
