// Rendezvous over TCP: every rank tells rank 0 its record, which tells all to all. Its links are a star;
// those of its HostCommunicator join every two ranks.
#pragma once

#include <string>
#include <vector>

#include "kernels/rendezvous.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpRendezvous final : public kernels::Rendezvous {
 public:
  // `star` and `exchange` by the peers' ranks; of a follower's star only rank 0's place is filled. `group`
  // outlives this and its communicator.
  TcpRendezvous(TcpLiveness& group, std::vector<Link> star, std::vector<Link> exchange,
                int64_t exchange_bytes, int64_t spin_us)
      : group_(group),
        star_(std::move(star)),
        exchange_(std::move(exchange)),
        exchange_bytes_(exchange_bytes),
        spin_us_(spin_us) {}
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::StatusOr<std::unique_ptr<kernels::Communicator>> HostCommunicator() override;

 private:
  absl::StatusOr<std::vector<std::string>> Gather(const std::string& record, int64_t limit_us) override;
  absl::StatusOr<std::vector<std::string>> GatherAtRank0(const std::string& record);
  absl::StatusOr<std::vector<std::string>> AskRank0(const std::string& record);

  TcpLiveness& group_;
  std::vector<Link> star_, exchange_;
  const int64_t exchange_bytes_, spin_us_;
};

}  // namespace quire::worker
