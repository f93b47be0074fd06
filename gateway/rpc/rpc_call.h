// A gRPC call under way, seen from outside rpc/. Its owner destroys it to cancel the call; a callback that is
// already running, and the call's last one (on_done), may still come afterwards on a gRPC thread, so
// callbacks own what they touch. Callbacks of one call never overlap.
#pragma once

namespace quire::gateway {

class RpcCall {
 public:
  virtual ~RpcCall() = default;
};

}  // namespace quire::gateway
