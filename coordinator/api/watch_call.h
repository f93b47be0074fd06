// One gateway's Watch stream: takes the facts one by one, the next when the last is written, so that neither
// a large state nor a slow reader is held in memory. Lives until gRPC is done with it. Included by .cc files
// of api/ only.
#pragma once

#include <grpcpp/grpcpp.h>

#include "coordinator/api/slow_facts.h"

namespace quire::coordinator {

grpc::ServerWriteReactor<v1::WatchEvent>* MakeWatchCall(SlowFacts* facts);

}  // namespace quire::coordinator
