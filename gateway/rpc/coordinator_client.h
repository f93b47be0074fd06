// The gateway's calls to the coordinator. Any thread may call; callbacks come on gRPC threads and must not
// block. Every call has a deadline but Watch, which lives until it breaks (keepalive: 3 s). Nothing is
// retried here: what must be resent, and when, is gateway/accounting's to say. Cheap: whoever calls has one
// of its own, so that its destructor cancels everything and waits for the last callback.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/rpc/rpc_call.h"
#include "proto/coordinator.pb.h"

namespace grpc {
class Channel;
}

namespace quire::gateway {

class CoordinatorClient {
 public:
  explicit CoordinatorClient(std::shared_ptr<grpc::Channel> channel);
  ~CoordinatorClient();

  using OnEnd = std::function<void(absl::Status)>;
  template <typename Reply>
  using Done = std::function<void(absl::StatusOr<Reply>)>;

  std::unique_ptr<RpcCall> Admit(const v1::AdmitRequest& request,
                                 std::function<void(v1::AdmitReply)> on_reply, OnEnd on_end);
  void Progress(const v1::ProgressRequest& request, Done<v1::ProgressReply> done);
  // Destroying the handle leaves the queue.
  std::unique_ptr<RpcCall> Readmit(const v1::ReadmitRequest& request, Done<v1::ReadmitReply> done);
  void Settle(const v1::SettleRequest& request, Done<v1::SettleReply> done);

  std::unique_ptr<RpcCall> Watch(const v1::WatchRequest& request,
                                 std::function<void(v1::WatchEvent)> on_event, OnEnd on_end);
  // The serialized TextBundle, whose SHA-256 has been checked against `digest`.
  std::unique_ptr<RpcCall> GetTextBundle(const std::string& digest, Done<std::string> done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire::gateway
