// Which communicator ranks on GPUs get: the one over peer memory, where all of them reach one another's and
// it computes, in a trial, what the group's own exchange does; else the one over NCCL, where all of them have
// it and it passes the same trial; else the staged one. All ranks call it, at the same point, and decide
// alike; the thread that starts the rank.
#pragma once

#include <memory>

#include "kernels/communicator.h"
#include "kernels/cuda/collective/nccl_communicator.h"
#include "kernels/cuda/collective/peer_communicator.h"
#include "kernels/cuda/device/device.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

// It takes the stream in calls alone. The log says which it is, and why.
absl::StatusOr<std::unique_ptr<Communicator>> MakeDeviceCommunicator(Stream& stream, Rendezvous& rendezvous,
                                                                     const PeerOptions& options = {},
                                                                     const NcclOptions& nccl = {});

}  // namespace quire::kernels::cuda
