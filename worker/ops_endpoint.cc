#include "worker/ops_endpoint.h"

#include "base/core/status.h"

namespace quire::worker {

absl::StatusOr<std::unique_ptr<OpsEndpoint>> OpsEndpoint::Start(const std::string& host, int port,
                                                                const Metrics* metrics) {
  std::unique_ptr<OpsEndpoint> endpoint(new OpsEndpoint());
  QUIRE_ASSIGN_OR_RETURN(
      endpoint->server_,
      HttpServer::Start(host, port, [self = endpoint.get(), metrics](const HttpRequest& request) {
        return self->Answer(request, *metrics);
      }));
  return endpoint;
}

HttpReply OpsEndpoint::Answer(const HttpRequest& request, const Metrics& metrics) const {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4";
  if (request.method != "GET") {
    reply.status = 405;
    reply.body = "only GET is answered here\n";
  } else if (request.path == "/metrics") {
    reply.body = metrics.Text();
  } else if (request.path == "/healthz") {
    reply.body = "alive\n";
  } else if (request.path == "/readyz") {
    reply.status = ready_ ? 200 : 503;
    reply.body = ready_ ? "ready\n" : "loading or stopping\n";
  } else {
    reply.status = 404;
    reply.body = "try /metrics, /healthz or /readyz\n";
  }
  return reply;
}

}  // namespace quire::worker
