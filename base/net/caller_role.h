// Who may call what of the internal gRPC services, the coordinator's and a worker group's. With TLS the
// client's certificate names its roles: one of its DNS names (or its common name) is `quire-gateway` or
// `quire-worker`, or begins with that and a dot; several names are several roles, none is none. Without TLS,
// workers show the shared secret of the coordinator's data folder (worker_secret), so that no other local
// user can register a group and be sent prompts, and gateways ones that they make from its pepper, so that
// none can watch keys, settle, or be served what nobody pays for. With TLS too a gateway that shows another
// pepper's is denied: it would refuse every key. (Older ones show none.) Plain data and pure functions; any
// thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/net/grpc.h"

namespace quire {

enum class CallerRole { kGateway, kWorker };

// The metadata key under which a worker sends the secret. (A gateway's: GatewaySecret and SessionSecret in
// base/net/grpc.h.)
inline constexpr const char* kWorkerSecretKey = "quire-worker-secret";

// OK or PermissionDenied. `secret` is what that role has to show where there is no TLS, and may show with it;
// nothing: there is none, and without TLS any caller may.
absl::Status CheckCaller(const grpc::ServerContextBase& context, CallerRole wanted,
                         const std::optional<ShownSecret>& secret);

}  // namespace quire
