// A small HTTP/1.1 server for operators: /metrics, /healthz, /readyz and the coordinator's admin API. Not for
// the public API (base/http is). One thread; the handler runs on it and may block briefly. Bounded: 64
// connections, 1 MiB bodies, 10 s for a request. Start binds, so a taken port fails before any thread runs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace quire {

struct HttpRequest {
  std::string method, path;                    // path without the query
  std::map<std::string, std::string> query;    // decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::map<std::string, std::string> headers;
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  // port 0 = any. Unavailable: the address is taken or not ours.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& host, int port,
                                                           Handler handler);
  virtual ~HttpServer() = default;  // closes the connections and joins the thread
  virtual int port() const = 0;
};

}  // namespace quire
