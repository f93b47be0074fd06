// The ranks of one group, as one of them has them: four parts, each on its own, in one of two forms. Liveness
// says who is there, and ends everything when somebody isn't; Rendezvous is the talk before work; its
// HostCommunicator exchanges tensors; PlanTransport brings plans to the followers. Each rank's process owns
// one, which shm_group.h makes on one host and tcp/tcp_group.h over several. What always holds: the other
// parts' waits end when Liveness says that the group is lost.
#pragma once

#include <memory>

#include "kernels/rendezvous.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/plan_transport.h"

namespace quire::worker {

struct RankGroup {
  int rank() const { return liveness->rank(); }
  int size() const { return liveness->size(); }

  std::unique_ptr<Liveness> liveness;  // first: the others use it
  std::unique_ptr<kernels::Rendezvous> rendezvous;
  std::unique_ptr<PlanTransport> plans;
};

// What a group's parts hold, which all ranks must agree on.
struct BufferSizes {
  int64_t exchange_bytes = 0;  // of one rank's half of the exchange buffer
  int64_t plan_bytes = 0;
};

}  // namespace quire::worker
