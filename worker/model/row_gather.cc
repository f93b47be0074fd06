#include "worker/model/row_gather.h"

#include <algorithm>

#include "base/core/status.h"
#include "worker/parallel/byte_spans.h"

namespace quire::worker {
namespace {

using kernels::RowNeed;
using kernels::Tensor;

std::span<uint8_t> Floats(float* data, int64_t count) {
  return AsBytes(std::span(data, static_cast<size_t>(count)));
}

}  // namespace

RowGather::RowGather(const std::vector<Range>& vocab, const kernels::StepLimits& limits,
                     kernels::Backend& backend, kernels::Communicator& communicator)
    : backend_(backend),
      communicator_(communicator),
      rank_(static_cast<size_t>(communicator.rank())),
      parts_(vocab.size()),
      numbers_(static_cast<size_t>(limits.wanted_rows)) {
  for (size_t r = 0; r < vocab.size(); ++r) {
    Part& part = parts_[r];
    part.ids = vocab[r];
    columns_.push_back(part.ids.size());
    on_runs_ = on_runs_ && part.ids.begin % kernels::kRunIds == 0;
    part.sampled = r == rank_ ? limits.part_ids
                              : std::clamp<int64_t>(limits.sampled_ids - part.ids.begin, 0, part.ids.size());
    part.words = kernels::RunWords(part.sampled);
    if (r == rank_ || rank_ == 0) part.kept.resize(static_cast<size_t>(limits.wanted_rows * part.words));
  }
}

absl::Status RowGather::Gather(Tensor rows, std::span<const RowNeed> needs) {
  const bool whole = !on_runs_ || !communicator_.in_host_memory();
  if (whole || std::ranges::all_of(needs, &RowNeed::whole)) {
    runs_.assign(static_cast<size_t>(rows.rows), {});
    return communicator_.GatherColumns(rows, columns_);
  }
  QUIRE_RETURN_IF_ERROR(ChooseRuns(rows, needs));
  runs_.clear();
  mine_.clear();
  into_.assign(rank_ == 0 ? parts_.size() : 0, {});
  for (int64_t row = 0; row < rows.rows; ++row) {
    if (rank_ == 0) {
      Expect(rows, row, needs[row].whole());
    } else {
      mine_.push_back(Floats(rows.f32(row), Size(parts_[rank_], row, needs[row].whole())));
    }
  }
  return communicator_.Gather(mine_, into_);
}

absl::Status RowGather::ChooseRuns(Tensor rows, std::span<const RowNeed> needs) {
  QUIRE_RETURN_IF_ERROR(backend_.KeepCandidates(rows, needs, parts_[rank_].kept));
  mine_.clear();
  into_.assign(rank_ == 0 ? parts_.size() : 0, {});
  for (size_t r = 1; r < parts_.size(); ++r) {
    if (rank_ != 0 && rank_ != r) continue;
    const auto words = static_cast<size_t>(rows.rows * parts_[r].words);
    (rank_ == 0 ? into_[r] : mine_).push_back(AsBytes(std::span(parts_[r].kept).first(words)));
  }
  return communicator_.Gather(mine_, into_);
}

int64_t RowGather::Size(const Part& part, int64_t row, bool whole) const {
  return whole ? part.ids.size() : kernels::KeptIds(KeptOf(part, row), part.sampled);
}

void RowGather::Expect(Tensor rows, int64_t row, bool whole) {
  std::vector<int32_t>& numbers = numbers_[row];
  numbers.clear();
  float* to = rows.f32(row);
  for (size_t r = 0; r < parts_.size(); ++r) {
    const Part& part = parts_[r];
    const int64_t size = Size(part, row, whole);
    if (r > 0) into_[r].push_back(Floats(to, size));
    to += size;
    if (whole) continue;
    const auto first = static_cast<int32_t>(part.ids.begin / kernels::kRunIds);
    kernels::AppendRuns(KeptOf(part, row), part.sampled, first, numbers);
  }
  runs_.emplace_back(numbers);
}

}  // namespace quire::worker
