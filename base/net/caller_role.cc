#include "base/net/caller_role.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire {
namespace {

const char* NameOf(CallerRole role) {
  return role == CallerRole::kGateway ? "quire-gateway" : "quire-worker";
}

bool Names(const grpc::AuthContext& peer, const char* property, const std::string& role) {
  const std::vector<grpc::string_ref> values = peer.FindPropertyValues(property);
  return std::any_of(values.begin(), values.end(), [&](const grpc::string_ref& value) {
    const std::string_view name(value.data(), value.size());
    return name == role || name.substr(0, role.size() + 1) == role + ".";
  });
}

absl::Status CheckCertificate(const grpc::AuthContext& peer, CallerRole wanted) {
  const std::string role = NameOf(wanted);
  if (Names(peer, GRPC_X509_SAN_PROPERTY_NAME, role) || Names(peer, GRPC_X509_CN_PROPERTY_NAME, role)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("this call needs a certificate for the role ", role,
                                                  ": give it the DNS name ", role,
                                                  " (docs/OPERATIONS.md, Certificates)"));
}

absl::Status CheckSecret(const grpc::ServerContextBase& context, CallerRole wanted,
                         const ShownSecret& secret) {
  const auto shown = context.client_metadata().find(secret.key);
  if (shown != context.client_metadata().end() &&
      ConstantTimeEqual(std::string_view(shown->second.data(), shown->second.size()), secret.value)) {
    return absl::OkStatus();
  }
  if (wanted == CallerRole::kGateway) {
    return absl::PermissionDeniedError(
        "this gateway does not have the coordinator's pepper: give it --pepper-file with the path of pepper "
        "in the coordinator's data folder");
  }
  return absl::PermissionDeniedError(
      "this worker does not know the coordinator's secret: give it --worker-secret-file with the path of "
      "worker_secret in the coordinator's data folder");
}

}  // namespace

absl::Status CheckCaller(const grpc::ServerContextBase& context, CallerRole wanted,
                         const std::optional<ShownSecret>& secret) {
  const auto peer = context.auth_context();
  const bool certified = peer != nullptr && peer->IsPeerAuthenticated();
  if (certified) QUIRE_RETURN_IF_ERROR(CheckCertificate(*peer, wanted));
  if (!secret || (certified && context.client_metadata().count(secret->key) == 0)) return absl::OkStatus();
  return CheckSecret(context, wanted, *secret);
}

}  // namespace quire
