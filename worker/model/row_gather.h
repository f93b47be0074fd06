// A step's logits, of which every rank computes a range of ids, on their way to rank 0. Each rank has one,
// called by the engine thread, by all with the same needs. Of each row crosses what sampling needs of it
// (kernels/sampling/candidates.h): the best run of each rank where it is greedy; as many runs of each rank as
// top_k says, and what ties with them; else each rank's part. First go the bits that say which runs, a 2048th
// of the row, unless all rows cross whole, as they do where ranks share a run (of a tiny vocabulary) or have
// their tensors on GPUs, between which that costs less than to look. They arrive where the sampler reads
// them: rank 0's own part begins its rows, the others' are appended, so no row takes more room than a whole
// one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "worker/model/shard.h"

namespace quire::worker {

class RowGather {
 public:
  // `vocab`: of every rank. `limits` as the backend's ReserveStep gets them. The others outlive it.
  RowGather(const std::vector<Range>& vocab, const kernels::StepLimits& limits, kernels::Backend& backend,
            kernels::Communicator& communicator);

  // `rows`: this rank's part of each, the first columns of them on rank 0. No needs: whole rows.
  absl::Status Gather(kernels::Tensor rows, std::span<const kernels::RowNeed> needs);
  // On rank 0, of the rows of the last Gather, until the next one: what stands there of each.
  std::span<const kernels::RowRuns> runs() const { return runs_; }

 private:
  struct Part {
    Range ids;
    int64_t sampled = 0;         // of them may be picked; rank 0 knows everybody's, the others their own
    std::vector<uint32_t> kept;  // [rows][words]
    int64_t words = 0;
  };
  std::span<const uint32_t> KeptOf(const Part& part, int64_t row) const {
    return std::span(part.kept).subspan(static_cast<size_t>(row * part.words),
                                        static_cast<size_t>(part.words));
  }
  absl::Status ChooseRuns(kernels::Tensor rows, std::span<const kernels::RowNeed> needs);
  // How many of its ids a rank sends.
  int64_t Size(const Part& part, int64_t row, bool whole) const;
  // Rank 0: where in its row the others' are to stand, and what stands there then.
  void Expect(kernels::Tensor rows, int64_t row, bool whole);

  kernels::Backend& backend_;
  kernels::Communicator& communicator_;
  const size_t rank_;
  bool on_runs_ = true;           // all borders between ranks
  std::vector<int64_t> columns_;  // of each rank's part
  std::vector<Part> parts_;
  // Of a Gather.
  kernels::ByteSpans mine_;
  std::vector<kernels::ByteSpans> into_;
  std::vector<std::vector<int32_t>> numbers_;  // of each row's runs
  std::vector<kernels::RowRuns> runs_;
};

}  // namespace quire::worker
