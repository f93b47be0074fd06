// The HTTP API's errors as gRPC's: the canonical code of the status, the same message, and details that say
// the error's code, its field, and when to retry. Pure; any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include "base/http/error_body.h"

namespace quire::gateway {

grpc::Status RpcStatusOf(const http::ApiError& error);

}  // namespace quire::gateway
