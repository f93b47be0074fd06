#include "worker/parallel/thread_communicator.h"

#include <algorithm>

#include "base/core/status.h"
#include "worker/parallel/byte_spans.h"
#include "worker/parallel/rank_sum.h"

namespace quire::worker {

using kernels::Tensor;

class ThreadCommunicator final : public kernels::Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return group_.size_; }

  absl::Status AllReduceSum(Tensor x) override {
    if (size() == 1) return absl::OkStatus();
    std::vector<float> sum(static_cast<size_t>(x.rows * x.cols));
    group_.tensors_[rank_] = x;
    QUIRE_RETURN_IF_ERROR(group_.Barrier());
    for (int64_t row = 0; row < x.rows; ++row) SumRow(row, sum.data() + row * x.cols);
    QUIRE_RETURN_IF_ERROR(group_.Barrier());  // everybody has read: x may be overwritten
    for (int64_t row = 0; row < x.rows; ++row) {
      std::copy_n(sum.data() + row * x.cols, x.cols, x.f32(row));
    }
    return absl::OkStatus();
  }

  absl::Status Gather(const kernels::ByteSpans& mine, std::span<const kernels::ByteSpans> into) override {
    group_.sent_[rank_] = &mine;
    QUIRE_RETURN_IF_ERROR(group_.Barrier());
    absl::Status status;
    for (int r = 1; r < size() && rank_ == 0 && status.ok(); ++r) status = Fill(into[r], r);
    QUIRE_RETURN_IF_ERROR(group_.Barrier());
    return status;
  }

 private:
  absl::Status Fill(const kernels::ByteSpans& into, int from) const {
    ByteCursor to(into);
    if (const size_t sent = TotalBytes(*group_.sent_[from]); sent != to.left()) {
      return GatherMismatch(from, sent, to.left());
    }
    for (const std::span<uint8_t> span : *group_.sent_[from]) to.FillFrom(span);
    return absl::OkStatus();
  }

  void SumRow(int64_t row, float* sum) const {
    std::vector<const float*> parts;
    for (const Tensor& part : group_.tensors_) parts.push_back(part.f32(row));
    SumRanks(parts, group_.tensors_[0].cols, sum);
  }

  ThreadGroup& group_;
  const int rank_;
};

std::unique_ptr<kernels::Communicator> ThreadGroup::MakeCommunicator(int rank) {
  return std::make_unique<ThreadCommunicator>(*this, rank);
}

class ThreadRendezvous final : public kernels::Rendezvous {
 public:
  ThreadRendezvous(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return group_.size_; }
  absl::StatusOr<std::unique_ptr<kernels::Communicator>> HostCommunicator() override {
    return group_.MakeCommunicator(rank_);
  }

 protected:
  absl::StatusOr<std::vector<std::string>> Gather(const std::string& record, int64_t) override {
    group_.records_[rank_] = record;
    QUIRE_RETURN_IF_ERROR(group_.Barrier());
    std::vector<std::string> records = group_.records_;
    QUIRE_RETURN_IF_ERROR(group_.Barrier());  // everybody has read
    return records;
  }

 private:
  ThreadGroup& group_;
  const int rank_;
};

std::unique_ptr<kernels::Rendezvous> ThreadGroup::MakeRendezvous(int rank) {
  return std::make_unique<ThreadRendezvous>(*this, rank);
}

void ThreadGroup::Fail() {
  MutexLock lock(&mutex_);
  failed_ = true;
}

absl::Status ThreadGroup::Barrier() {
  MutexLock lock(&mutex_);
  const int64_t round = round_;
  if (++arrived_ == size_) {
    arrived_ = 0;
    ++round_;
    return absl::OkStatus();
  }
  auto ended = [this, round]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return round_ != round || failed_; };
  mutex_.Await(absl::Condition(&ended));
  return round_ != round ? absl::OkStatus() : absl::UnavailableError("a rank of this group failed");
}

}  // namespace quire::worker
