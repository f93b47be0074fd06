// The coordinator's gRPC service: translation only. Each RPC becomes a call of Admission, SlowFacts, Router
// or BlobStore and its answer a message; nothing is decided here but whether the caller may call it at all: a
// worker registers and beats, a gateway does everything else. Owned by coordinator.cc; gRPC's threads call
// it, and never wait for the disk: what has to is done on a thread of the service's own.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>
#include <string>

#include "base/core/clock.h"
#include "coordinator/api/admission.h"
#include "coordinator/api/slow_facts.h"
#include "coordinator/fleet/epoch_file.h"
#include "coordinator/ledger/blob_store.h"
#include "coordinator/ledger/ledger_thread.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

// What the service speaks for; all outlive it.
struct ServiceParts {
  Admission* admission = nullptr;
  Router* router = nullptr;
  SlowFacts* facts = nullptr;
  BlobStore* bundles = nullptr;
  LedgerThread* ledger = nullptr;
  EpochFile* epochs = nullptr;
  const Clock* clock = nullptr;
  TokenPrice first_price;          // of a model that has none yet
  std::string worker_secret;       // what workers show where there is no TLS (caller_role.h);
  std::string pepper;              // what gateways show is made from it
  std::function<void()> on_group;  // one has registered; any thread
};

std::unique_ptr<grpc::Service> MakeCoordinatorService(const ServiceParts& parts);

}  // namespace quire::coordinator
