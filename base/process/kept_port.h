// A port that stays ours while the program that listens on it is down: a socket that is bound to it and never
// listens. The kernel then gives the port to nobody who asks for any port, nor to an outgoing connection; a
// program that names it and sets SO_REUSEADDR (gRPC and our HTTP server do) can listen there beside it. Owned
// by the launcher.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/core/fd.h"

namespace quire {

class KeptPort {
 public:
  KeptPort() = default;
  // `port` 0 = any free one. Unavailable: taken, or the address isn't ours.
  static absl::StatusOr<KeptPort> Keep(const std::string& host, int port);

  int port() const { return port_; }

 private:
  Fd socket_;
  int port_ = 0;
};

}  // namespace quire
