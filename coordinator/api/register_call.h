// One worker group's Register stream: takes its facts, asks for the text bundle if it is not stored yet,
// makes sure that the model has a price, writes its epoch down, then makes the group known; the stream's end
// is the group's end. Files are read and written on `disk`; its other steps run on gRPC's threads and, where
// the price is new, the ledger's. Lives until gRPC is done with it. Included by .cc files of api/ only.
#pragma once

#include <grpcpp/grpcpp.h>

#include "coordinator/api/coordinator_service.h"
#include "coordinator/api/work_thread.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

// `allowed`: whether the caller may do this at all; if not, the stream ends at once.
grpc::ServerBidiReactor<v1::RegisterRequest, v1::RegisterReply>* MakeRegisterCall(
    const ServiceParts& parts, WorkThread* disk, const absl::Status& allowed);

}  // namespace quire::coordinator
