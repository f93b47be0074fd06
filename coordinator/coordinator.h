// Assembles a coordinator: data folder, ledger, router, gRPC and admin servers, local fleet. Owned by main
// (and by tests, which start it in their own process). What always holds: when Start returned, it serves and
// the ready file says where; Stop ends the local groups first, so that gateways can still settle what they
// delivered.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "base/core/files.h"
#include "base/core/log_options.h"
#include "base/core/options.h"
#include "base/core/token_price.h"
#include "base/http/metrics_plane.h"
#include "base/net/grpc.h"
#include "coordinator/fleet/worker_flags.h"

namespace quire::coordinator {

struct CoordinatorConfig {
  std::string data = "data", host = "127.0.0.1", admin_host = "127.0.0.1", ready_file;
  LogOptions log;
  int64_t port = 0, admin_port = 8001, max_queue = 1024, reap_after_s = 900;
  http::MetricsPlaneOptions metrics;
  TokenPrice price{.version = 0, .prompt = 75, .cached_prompt = 75, .completion = 150};
  WorkerFlags worker;
  TlsFiles tls;
  bool insecure = false;
  bool end_groups = false;                      // nothing else
  const Clock* clock = nullptr;                 // null: the system's; a test's outlives the coordinator
  FileWriter write_file = WriteFileAtomically;  // models.json, epochs.json
  std::optional<std::chrono::milliseconds> admin_patience;  // null: AdminService's; a test has no hurry

  void Declare(Options& options);
  // Of the command line alone: InvalidArgument says what is missing or wrong.
  absl::Status Check() const;
};

class Coordinator {
 public:
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(const CoordinatorConfig& config);
  virtual ~Coordinator() = default;  // without Stop: as if killed, the local groups go on

  virtual void Stop() = 0;
  virtual void HurryStop() = 0;  // during Stop, from another thread: local groups get no more time to end
  virtual std::string grpc_address() const = 0;
  virtual std::string admin_address() const = 0;
  virtual std::string metrics_address() const = 0;
};

// Ends the local groups that a coordinator of this data folder left: where none can start any more. It needs
// the folder's lock and nothing else of it. FailedPrecondition: no coordinator has had such a folder.
absl::Status EndLocalGroups(const std::string& data);

}  // namespace quire::coordinator
