#include "worker/model_checks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/backend_factory.h"
#include "kernels/shape_check.h"
#include "worker/model/rope.h"
#include "worker/tokenizer_size.h"

namespace quire::worker {

absl::Status CheckNames(const WorkerConfig& config) {
  constexpr size_t kMaxNameBytes = 200;
  for (const auto& [flag, name] :
       {std::pair{"--group-id", config.group_id}, std::pair{"--shm", config.shm}}) {
    if (name.find('/') == std::string::npos && name.size() <= kMaxNameBytes) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", name, ": give a name of at most ", kMaxNameBytes, " bytes without '/'"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CheckTokenizer(std::string_view tokenizer_json, const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t size, TokenizerSize(tokenizer_json));
  if (size <= model.vocab) return size;
  return absl::InvalidArgumentError(absl::StrCat(
      "tokenizer.json has ids up to ", size - 1, " and config.json's vocab_size is ", model.vocab,
      ": a prompt could hold tokens that the model lacks; the files don't belong together"));
}

absl::Status CheckRopes(const ModelConfig& model) {
  const auto check = [&](const RopeScaling& scaling, int64_t positions) {
    const RotaryFrequencies table = MakeRotaryFrequencies(scaling, model.rope_theta, model.head_dim);
    return kernels::CheckRope(table.inv_freq, table.scale, positions);
  };
  QUIRE_RETURN_IF_ERROR(check(model.rope, model.plain_context));
  return model.scaled_rope ? check(*model.scaled_rope, model.max_context) : absl::OkStatus();
}

absl::Status CheckKernels(const std::string& isa) {
  const absl::Status usable = kernels::MakeBackend({.isa = isa}).status();
  if (usable.ok()) return usable;
  return absl::Status(usable.code(), absl::StrCat("--isa ", isa, ": ", MessageOf(usable)));
}

}  // namespace quire::worker
