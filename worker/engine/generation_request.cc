#include "worker/engine/generation_request.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::worker {

SharedRequest::SharedRequest(GenerationRequest request)
    : GenerationRequest(std::move(request)),
      prompt_hashes(PrefixBlockHashes(cache_salt, variant(), prompt_ids)) {
  if (sampling.penalizes()) prompt_counts.AddPrompt(prompt_ids);
}

std::string SharedRequest::variant() const {
  const char* rope = scaled_rope ? "scaled" : "plain";
  return adapter == 0 ? rope : absl::StrCat(rope, ", adapter ", adapter);
}

std::shared_ptr<const SharedRequest> Share(GenerationRequest request) {
  return std::make_shared<const SharedRequest>(std::move(request));
}

}  // namespace quire::worker
