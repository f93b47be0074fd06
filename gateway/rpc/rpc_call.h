// A gRPC call under way, seen from outside rpc/. Its owner destroys it to cancel the call; a callback that is
// already running, and the call's last one (on_done), may still come afterwards on a gRPC thread, so
// callbacks own what they touch. Callbacks of one call never overlap.
#pragma once

#include <cstdint>

namespace quire::gateway {

class RpcCall {
 public:
  virtual ~RpcCall() = default;
  // Replies that its owner has dealt with: a call that is read with a bound (WorkerClient::Generate) reads so
  // many more. Nothing where there is no bound. Any thread.
  virtual void ReadMore(int64_t replies) = 0;
};

}  // namespace quire::gateway
