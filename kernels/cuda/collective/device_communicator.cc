#include "kernels/cuda/collective/device_communicator.h"

#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cuda/collective/same_for_all.h"
#include "kernels/cuda/collective/staged_communicator.h"
#include "kernels/cuda/collective/trial.h"

namespace quire::kernels::cuda {

namespace {

// Null on all ranks, with `why`, where it fails one of them.
absl::StatusOr<std::unique_ptr<Communicator>> Tried(std::unique_ptr<Communicator> made, Stream& stream,
                                                    Rendezvous& rendezvous, const TrialOptions& trial,
                                                    Communicator& host, std::string& why) {
  if (made == nullptr) return nullptr;
  QUIRE_ASSIGN_OR_RETURN(const std::string wrong, WhyNotAsTheHost(stream, *made, host, trial));
  QUIRE_ASSIGN_OR_RETURN(why, FirstReason(wrong, wrong == kWaitedInVain, rendezvous,
                                          Rendezvous::kUsualLimitUs + trial.limit_us));
  if (!why.empty()) made.reset();
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeDeviceCommunicator(Stream& stream, Rendezvous& rendezvous,
                                                                     const PeerOptions& options,
                                                                     const NcclOptions& nccl) {
  const int ranks = rendezvous.size();
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> host, rendezvous.HostCommunicator());
  if (ranks == 1 && !options.apart) return host;
  auto staged = std::make_unique<StagedCommunicator>(stream, std::move(host));
  std::string no_peers, no_nccl;
  std::unique_ptr<Communicator> made;
  if (ranks == 1) {
    no_peers = "there is one rank";
  } else {
    QUIRE_ASSIGN_OR_RETURN(made, PeerCommunicator::Make(stream, rendezvous, options, no_peers));
  }
  const TrialOptions of_peers{.many_bytes = PeerCommunicator::RangesFrom(options, ranks)};
  QUIRE_ASSIGN_OR_RETURN(made, Tried(std::move(made), stream, rendezvous, of_peers, *staged, no_peers));
  if (made != nullptr) {
    Log(LogLevel::kInfo, "exchange", "through", "the GPUs' memory", "ranks", ranks);
    return made;
  }
  QUIRE_ASSIGN_OR_RETURN(made, NcclCommunicator::Make(stream, rendezvous, nccl, no_nccl));
  const TrialOptions of_nccl{.many_bytes = nccl.ranges_from_bytes, .limit_us = nccl.trial_limit_ms * 1000};
  QUIRE_ASSIGN_OR_RETURN(made, Tried(std::move(made), stream, rendezvous, of_nccl, *staged, no_nccl));
  if (made != nullptr) {
    Log(LogLevel::kInfo, "exchange", "through", "NCCL", "ranks", ranks, "reason", no_peers);
    return made;
  }
  Log(LogLevel::kWarn, "exchange", "through", "the host's memory, slower", "ranks", ranks, "reason", no_peers,
      "no_nccl", no_nccl);
  return staged;
}

}  // namespace quire::kernels::cuda
