#include "kernels/cuda/collective/device_communicator.h"

#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cuda/collective/same_for_all.h"
#include "kernels/cuda/collective/staged_communicator.h"
#include "kernels/cuda/collective/trial.h"

namespace quire::kernels::cuda {

absl::StatusOr<std::unique_ptr<Communicator>> MakeDeviceCommunicator(Stream& stream, Rendezvous& rendezvous,
                                                                     const PeerOptions& options) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> host, rendezvous.HostCommunicator());
  if (rendezvous.size() == 1) return host;
  auto staged = std::make_unique<StagedCommunicator>(stream, std::move(host));
  std::string why;
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<PeerCommunicator> peers,
                         PeerCommunicator::Make(stream, rendezvous, options, why));
  if (peers != nullptr) {
    const TrialOptions trial{.many_bytes = PeerCommunicator::RangesFrom(options, rendezvous.size())};
    QUIRE_ASSIGN_OR_RETURN(const std::string wrong, WhyNotAsTheHost(stream, *peers, *staged, trial));
    QUIRE_ASSIGN_OR_RETURN(why, FirstWord(wrong, rendezvous));
  }
  if (why.empty()) {
    Log(LogLevel::kInfo, "exchange", "through", "the GPUs' memory", "ranks", rendezvous.size());
    return peers;
  }
  Log(LogLevel::kWarn, "exchange", "through", "the host's memory, slower", "ranks", rendezvous.size(),
      "reason", why);
  return staged;
}

}  // namespace quire::kernels::cuda
