#include "gateway/api/grpc/rpc_errors.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/rpc_error.pb.h"

namespace quire::gateway {
namespace {

grpc::StatusCode CodeOf(int http_status) {
  switch (http_status) {
    case 400:
    case 422:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case 401:
      return grpc::StatusCode::UNAUTHENTICATED;
    case 402:
    case 413:
    case 429:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case 403:
      return grpc::StatusCode::PERMISSION_DENIED;
    case 404:
      return grpc::StatusCode::NOT_FOUND;
    case 499:
      return grpc::StatusCode::CANCELLED;
    case 503:
      return grpc::StatusCode::UNAVAILABLE;
    default:
      return grpc::StatusCode::INTERNAL;
  }
}

// As google.rpc's message of that name, whose fields ours has.
void AddDetail(const google::protobuf::Message& detail, const char* name, rpc::Status& status) {
  google::protobuf::Any& any = *status.add_details();
  any.set_type_url(absl::StrCat("type.googleapis.com/google.rpc.", name));
  any.set_value(detail.SerializeAsString());
}

}  // namespace

grpc::Status RpcStatusOf(const http::ApiError& error) {
  const grpc::StatusCode code = CodeOf(error.status);
  rpc::Status status;
  status.set_code(code);
  status.set_message(error.message);
  rpc::ErrorInfo info;
  info.set_reason(error.code);
  info.set_domain("quire");
  if (!error.param.empty()) (*info.mutable_metadata())["param"] = error.param;
  AddDetail(info, "ErrorInfo", status);
  if (error.retry_after_s > 0) {
    rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(error.retry_after_s);
    AddDetail(retry, "RetryInfo", status);
  }
  return {code, error.message, status.SerializeAsString()};
}

}  // namespace quire::gateway
