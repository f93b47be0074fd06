// Generate calls to worker groups: one channel per address, made on first use and dropped when a call on it
// finds nobody there, or when none was made for ten minutes (seen at the next call to another address): a
// restarted group has another one. Any thread may call but gRPC's; callbacks come on gRPC threads and must
// not block. A stream has no deadline, since an answer may be long: whoever reads it watches for silence (the
// worker beats every second); a peer that vanishes is noticed by keepalive in three seconds. The destructor
// cancels everything and waits.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "gateway/rpc/rpc_call.h"
#include "proto/inference.pb.h"

namespace grpc {
class Channel;
}

namespace quire::gateway {

class WorkerClient {
 public:
  // Makes a channel to host:port (composition root: with or without TLS).
  using Connect = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(const std::string& address)>;

  WorkerClient(Connect connect, const Clock& clock);
  ~WorkerClient();

  static constexpr int64_t kUnusedAfterUs = 600'000'000;

  // Replies that are read before their reader has dealt with them: it says so by ReadMore.
  static constexpr int64_t kReadAhead = 64;

  // `on_end` comes once, last, always; Cancelled after the handle was destroyed.
  std::unique_ptr<RpcCall> Generate(const std::string& address, const v1::GenerateRequest& request,
                                    std::function<void(v1::GenerateReply)> on_reply,
                                    std::function<void(absl::Status)> on_end);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire::gateway
