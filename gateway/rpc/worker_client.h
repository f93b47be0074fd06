// Requests to worker groups: one session per address, opened on first use and dropped when it ends (the group
// is gone, or its connection broke; a restarted group has another address). Any thread may call but gRPC's;
// callbacks come on gRPC threads and must not block. A request has no deadline, since an answer may be long:
// whoever reads it watches for silence (the worker beats every second); a peer that vanishes is noticed by
// keepalive in three seconds. The destructor cancels everything and waits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "proto/inference.pb.h"

namespace grpc {
class Channel;
}

namespace quire::gateway {

class GroupSession;

// One request in a session. Destroying it aborts the request: then no callback comes but one that is already
// running.
class WorkerCall {
 public:
  WorkerCall(std::shared_ptr<GroupSession> session, uint64_t tag);
  ~WorkerCall();
  WorkerCall(const WorkerCall&) = delete;
  WorkerCall& operator=(const WorkerCall&) = delete;

  // So many tokens more may come than before. Any thread.
  void Grant(int64_t tokens);
  // This one has ended for its client, while others go on: no more tokens of it come. Any thread.
  void AbortChoice(uint32_t choice);
  // When its group said anything last, if only a beat or to others.
  int64_t heard_us() const;

 private:
  const std::shared_ptr<GroupSession> session_;
  const uint64_t tag_;
};

class WorkerClient {
 public:
  // Makes a channel to host:port (composition root: with or without TLS).
  using Connect = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(const std::string& address)>;

  WorkerClient(Connect connect, const Clock& clock);
  ~WorkerClient();

  // Tokens that may come before their reader has dealt with any: it grants more by so many at once.
  static constexpr int64_t kReadAhead = 64, kGrantTokens = kReadAhead / 2;

  // The last update has `ended`, and comes once, unless the call was destroyed before. A request that can't
  // be sent gets it before this returns null.
  std::unique_ptr<WorkerCall> Generate(const std::string& address, v1::GenerateRequest request,
                                       std::function<void(v1::RequestUpdate)> on_update);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// How a request ended.
absl::Status StatusOf(const v1::Ended& ended);

}  // namespace quire::gateway
