// The HTTP/1.1 server of every plane: the public API, the operators' and the metrics. One thread accepts and
// also serves; each connection lives on one of the io threads, so a handler needs no locks. Every wait has a
// limit (limits.h). Start, Leave, Drain and the destructor are called by one thread, main's; handlers run on
// the io threads. Always: what a connection throws ends that connection alone.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/metrics.h"
#include "base/http/cors.h"
#include "base/http/limits.h"
#include "base/http/request_lines.h"
#include "base/http/routes.h"

namespace quire::http {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0 = any
  int threads = 1;
  HttpLimits limits;
  CorsPolicy cors;                      // none by default
  Guard guard;                          // none by default: all are told what there is
  std::string plane = "api";            // a label of the metrics
  Fruit fruit = Fruit::kAnswer;         // requests that bear none are bounded in the log
  RequestSink on_request = LogRequest;  // runs on the io threads, at each request's end
};

class Server {
 public:
  // Binds, then serves. Unavailable where the address is taken or not ours. `metrics` must outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const HttpServerOptions& options, RouteTable routes,
                                                       Metrics& metrics);
  // Ends every request at once if Drain has not.
  ~Server();
  int port() const;

  // From now on every reply ends its connection, so that clients go to another server; all are still
  // answered.
  void Leave();
  // Stops accepting, closes idle connections and lets running requests finish; those that have not by
  // `deadline` from now are ended as if their client had left (status Unavailable). Returns when no
  // connection is left. Once.
  void Drain(std::chrono::milliseconds deadline);
  // Ends what is left as Drain does at its deadline; any thread, during Drain.
  void Abort();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire::http
