#include "kernels/cuda/collective/trial.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {
namespace {

constexpr int64_t kColumns = 2052, kMostRows = 100;

// Sums that lose something in any other order.
std::vector<float> TrialValues(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = 0x9e3779b9u * static_cast<uint32_t>(rank + 1);
  for (float& x : values) {
    state = state * 1664525u + 1013904223u;
    x = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * static_cast<float>(1 << (state >> 28));
  }
  return values;
}

// What a rank's memory holds at the end: a sum of few rows and of many, rank 0's gathered columns, and what
// rank 0 told all.
class Exercise {
 public:
  Exercise(Stream& stream, int64_t many_rows)
      : stream_(stream), many_rows_(many_rows), x_(stream, static_cast<size_t>(many_rows * kColumns)) {}
  ~Exercise() { (void)stream_.Synchronize(); }  // after an error, too: its memory goes
  Exercise(const Exercise&) = delete;
  Exercise& operator=(const Exercise&) = delete;

  absl::StatusOr<std::vector<float>> Run(Communicator& communicator) const {
    std::vector<float> seen;
    for (const int64_t rows : {int64_t{1}, many_rows_}) {
      QUIRE_RETURN_IF_ERROR(Fill(communicator, rows));
      QUIRE_RETURN_IF_ERROR(communicator.AllReduceSum({x_.data(), DType::kF32, rows, kColumns, kColumns}));
      QUIRE_RETURN_IF_ERROR(TakeInto(seen, rows));
    }
    QUIRE_RETURN_IF_ERROR(Fill(communicator, 1));
    const std::vector<int64_t> columns(static_cast<size_t>(communicator.size()),
                                       kColumns / communicator.size());
    const Tensor mine{x_.data(), DType::kF32, 1, columns[0], kColumns};
    QUIRE_RETURN_IF_ERROR(communicator.GatherColumns(mine, columns));
    QUIRE_RETURN_IF_ERROR(TakeInto(seen, communicator.rank() == 0 ? 1 : 0));
    QUIRE_RETURN_IF_ERROR(FillFromRankZero(communicator));
    QUIRE_RETURN_IF_ERROR(TakeInto(seen, 1));
    return seen;
  }

 private:
  absl::Status Fill(const Communicator& communicator, int64_t rows) const {
    (void)x_.Upload(stream_, TrialValues(communicator.rank(), rows * kColumns), "trial values");
    return OfStream();
  }
  // By a broadcast, where there is one.
  absl::Status FillFromRankZero(Communicator& communicator) const {
    if (!communicator.runs_ahead()) {
      (void)x_.Upload(stream_, TrialValues(0, kColumns), "trial values");
      return OfStream();
    }
    QUIRE_RETURN_IF_ERROR(Fill(communicator, 1));
    return communicator.Broadcast({x_.data(), DType::kF32, 1, kColumns, kColumns});
  }
  absl::Status TakeInto(std::vector<float>& seen, int64_t rows) const {
    const std::vector<float> now = x_.Download(stream_, static_cast<size_t>(rows * kColumns));
    seen.insert(seen.end(), now.begin(), now.end());
    return OfStream();
  }
  absl::Status OfStream() const {
    const std::string error = stream_.Synchronize();
    return error.empty() ? absl::OkStatus() : absl::InternalError(error);
  }

  Stream& stream_;
  const int64_t many_rows_;
  const DeviceArray<float> x_;
};

}  // namespace

absl::StatusOr<std::string> WhyNotAsTheHost(Stream& stream, Communicator& tried, Communicator& host,
                                            const TrialOptions& options) {
  const int64_t row_bytes = kColumns * BytesOf(DType::kF32);
  const Exercise exercise(stream, std::min(options.many_bytes / row_bytes + 1, kMostRows));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<float> want, exercise.Run(host));
  std::atomic<bool> stopped = false;
  absl::StatusOr<std::vector<float>> got;
  {
    Notification done;
    const std::jthread watches([&] {
      if (done.WaitForNotificationWithTimeout(absl::Microseconds(options.limit_us))) return;
      stopped = true;
      tried.Stop();
    });
    got = exercise.Run(tried);
    done.Notify();
  }
  if (stopped) return std::string(kWaitedInVain);
  if (const absl::Status lost = tried.Check(); !lost.ok()) got = lost;
  if (!got.ok()) return MessageOf(got.status());
  const bool same = std::memcmp(got->data(), want.data(), want.size() * sizeof(float)) == 0;
  return same ? "" : "what it computes is not what the host's exchange does";
}

}  // namespace quire::kernels::cuda
