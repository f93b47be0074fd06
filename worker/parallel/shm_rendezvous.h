// Rendezvous in the group's shared memory: each rank's record stands in its slot, beside a word that it
// raises when the record is written and again when it has read all.
#pragma once

#include <string>
#include <vector>

#include "kernels/rendezvous.h"
#include "worker/parallel/shm_liveness.h"

namespace quire::worker {

class ShmRendezvous final : public kernels::Rendezvous {
 public:
  // `group` outlives this and its communicator; its buffers are mapped before there is one.
  explicit ShmRendezvous(ShmLiveness& group) : group_(group) {}
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::StatusOr<std::unique_ptr<kernels::Communicator>> HostCommunicator() override;

 private:
  absl::StatusOr<std::vector<std::string>> Gather(const std::string& record, int64_t limit_us) override;
  ShmLiveness& group_;
  uint32_t gathers_ = 0;
};

}  // namespace quire::worker
