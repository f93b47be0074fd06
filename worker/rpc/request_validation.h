// GenerateRequest, checked whole, to what the engine runs. A peer's counts and ids are input like any other:
// nothing past this function can be out of range. Pure, any thread.
#pragma once

#include "absl/status/statusor.h"
#include "proto/inference.pb.h"
#include "worker/engine/generation_request.h"
#include "worker/rpc/served_model.h"

namespace quire::worker {

// InvalidArgument says which field and why. FailedPrecondition: the request was placed on another epoch of
// the group. A grammar is for who asks to compile, which may take long.
absl::StatusOr<GenerationRequest> ValidateRequest(const v1::GenerateRequest& request,
                                                  const ServedModel& model, uint64_t group_epoch,
                                                  bool has_grammars = false);

}  // namespace quire::worker
