// Rendezvous over TCP: every rank tells rank 0 its record, which tells all to all.
#pragma once

#include <string>
#include <vector>

#include "kernels/rendezvous.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpRendezvous final : public kernels::Rendezvous {
 public:
  // `group` outlives this and its communicator; it has the links.
  TcpRendezvous(TcpLiveness& group, int64_t exchange_bytes, int64_t spin_us)
      : group_(group), exchange_bytes_(exchange_bytes), spin_us_(spin_us) {}
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::StatusOr<std::unique_ptr<kernels::Communicator>> HostCommunicator() override;

 private:
  absl::StatusOr<std::vector<std::string>> Gather(const std::string& record, int64_t limit_us) override;
  absl::StatusOr<std::vector<std::string>> GatherAtRank0(const std::string& record);
  absl::StatusOr<std::vector<std::string>> AskRank0(const std::string& record);

  TcpLiveness& group_;
  const int64_t exchange_bytes_, spin_us_;
};

}  // namespace quire::worker
