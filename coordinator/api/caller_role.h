// Who may call what of the internal gRPC service. With TLS the client's certificate names its roles: one of
// its DNS names (or its common name) is `quire-gateway` or `quire-worker`, or begins with that and a dot;
// several names are several roles, none is none. Without TLS, workers show the shared secret of the
// coordinator's data folder (worker_secret), so that no other local user can register a group and be sent
// prompts. Plain data and pure functions; any thread. Included by .cc files of api/ only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"

namespace quire::coordinator {

enum class CallerRole { kGateway, kWorker };

// The metadata key under which a worker sends the secret.
inline constexpr const char* kWorkerSecretKey = "quire-worker-secret";

// OK or PermissionDenied. `worker_secret` empty: none is asked for (tests).
absl::Status CheckCaller(const grpc::ServerContextBase& context, CallerRole wanted,
                         const std::string& worker_secret);

}  // namespace quire::coordinator
