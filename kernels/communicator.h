// Tensors between the ranks of one group. One Communicator per rank, called by the rank's engine thread; all
// ranks make the same calls in the same order with the same shapes. Sums are fp32 and in an order that
// the number of ranks fixes (worker/parallel/rank_sum.h), so every rank gets the same bits (ARCHITECTURE
// 5.2). Implementations live in worker/parallel: shared memory between processes, TCP between hosts,
// threads of one process; kernels/cuda/collective has those of GPUs. Errors: Unavailable when a peer is dead,
// stopped beating or can't be reached; the group is then lost and the rank exits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace quire::kernels {

// Places that are taken one after the other.
using ByteSpans = std::vector<std::span<uint8_t>>;

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Whether tensors stand where the host reads and writes them: what Gather takes, too.
  virtual bool in_host_memory() const { return true; }
  // Whether its calls are kernels behind the backend's ops and nothing else, so that a step with them may be
  // captured, by any rank for itself.
  virtual bool may_be_captured() const { return false; }

  // x fp32 [rows, cols] becomes the sum over ranks, in place, on every rank.
  virtual absl::Status AllReduceSum(Tensor x) = 0;
  // To rank 0: the bytes that any other rank r names in `mine` fill those that rank 0 names in into[r], span
  // after span; both are as many, or it is an Internal error there. Rank 0 names nothing in `mine`, nor in
  // into[0]; the others have no `into`.
  virtual absl::Status Gather(const ByteSpans& mine, std::span<const ByteSpans> into) = 0;
  // x fp32 [rows, ...]: the first columns[r] of every rank r's rows come to stand in rank 0's, behind those
  // of the ranks before it; its rows have room for all.
  virtual absl::Status GatherColumns(Tensor x, std::span<const int64_t> columns);
  // Whether the others' parts are waited for by a device alone: its calls then only enqueue, behind the
  // backend's ops, and steps may run ahead (Backend::runs_ahead).
  virtual bool runs_ahead() const { return false; }
  // x fp32 [1, cols] becomes rank 0's on every rank; any 4-byte words. Where it runs ahead.
  virtual absl::Status Broadcast(Tensor x);
  // The group is lost: what waits for other ranks on a device ends, and what it computes is of no use. Any
  // thread; it returns at once.
  virtual void Stop() {}
  // `tell` is called, on a thread of its own, when it fails by itself, before what waits for it ends: so that
  // other ranks take nothing that they compute then for a result. Set before the first step.
  virtual void WhenLost(std::function<void(const absl::Status&)>) {}
  // Asked once what a step computed on a device is there. Unavailable: a call that was enqueued has failed
  // since, so it is nonsense. Any thread.
  virtual absl::Status Check() const { return absl::OkStatus(); }
};

}  // namespace quire::kernels
