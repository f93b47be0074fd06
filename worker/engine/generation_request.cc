#include "worker/engine/generation_request.h"

#include <utility>

namespace quire::worker {

SharedRequest::SharedRequest(GenerationRequest request)
    : GenerationRequest(std::move(request)),
      prompt_hashes(PrefixBlockHashes(cache_salt, rope_variant(), prompt_ids)) {
  if (sampling.penalizes()) prompt_counts.AddPrompt(prompt_ids);
}

std::shared_ptr<const SharedRequest> Share(GenerationRequest request) {
  return std::make_shared<const SharedRequest>(std::move(request));
}

}  // namespace quire::worker
