// What a worker group says it is, to gateways and to the coordinator. Plain data, fixed once the model is
// loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quire::worker {

struct ServedModel {
  std::string name;         // what clients call it
  std::string numerics_id;  // equal ones promise equal tokens
  int64_t vocab = 0;        // ids are below it
  // Positions of a sequence, prompt and output, as far as the KV cache reaches too. Equal without RoPE
  // scaling.
  int64_t plain_context = 0, max_context = 0;
  bool has_scaled_rope = false;
};

// One life of a group: a restarted group has a higher epoch.
struct GroupIdentity {
  std::string id;
  uint64_t epoch = 0;
  uint32_t ranks = 1;
  std::vector<std::string> rank_metrics;  // host:port of each rank's /metrics
};

}  // namespace quire::worker
