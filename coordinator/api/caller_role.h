// Who may call what of the internal gRPC service. With TLS the client's certificate names its roles: one of
// its DNS names (or its common name) is `quire-gateway` or `quire-worker`, or begins with that and a dot;
// several names are several roles, none is none. Without TLS, workers show the shared secret of the
// coordinator's data folder (worker_secret), so that no other local user can register a group and be sent
// prompts, and gateways one that they make from its pepper, so that none can watch keys or settle. With TLS
// too a gateway that shows another pepper's is denied: it would refuse every key. (Older ones show none.)
// Plain data and pure functions; any thread. Included by .cc files of api/ only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"
#include "base/net/grpc.h"

namespace quire::coordinator {

enum class CallerRole { kGateway, kWorker };

// The metadata key under which a worker sends the secret. (A gateway's: GatewaySecret in base/net/grpc.h.)
inline constexpr const char* kWorkerSecretKey = "quire-worker-secret";

// OK or PermissionDenied. `secret` is what that role has to show where there is no TLS, and may show with it.
absl::Status CheckCaller(const grpc::ServerContextBase& context, CallerRole wanted,
                         const ShownSecret& secret);

}  // namespace quire::coordinator
