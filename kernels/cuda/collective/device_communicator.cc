#include "kernels/cuda/collective/device_communicator.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cuda/collective/same_for_all.h"
#include "kernels/cuda/collective/staged_communicator.h"
#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {
namespace {

// Sums that lose something in any other order.
std::vector<float> TrialRows(int rank, int64_t count) {
  std::vector<float> rows(static_cast<size_t>(count));
  uint32_t state = 0x9e3779b9u * static_cast<uint32_t>(rank + 1);
  for (float& x : rows) {
    state = state * 1664525u + 1013904223u;
    x = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * static_cast<float>(1 << (state >> 28));
  }
  return rows;
}

absl::StatusOr<std::vector<float>> Summed(Stream& stream, Communicator& communicator, int64_t rows,
                                          int64_t columns) {
  const std::vector<float> values = TrialRows(communicator.rank(), rows * columns);
  const DeviceArray<float> x(stream, values.size());
  (void)x.Upload(stream, values, "trial values");
  QUIRE_RETURN_IF_ERROR(communicator.AllReduceSum({x.data(), DType::kF32, rows, columns, columns}));
  std::vector<float> sums = x.Download(stream, values.size());
  const std::string error = stream.Synchronize();
  if (!error.empty()) return absl::InternalError(error);
  return sums;
}

// "" or what is wrong with it here: a row that one turn sums, and as many as ranks sum by ranges.
absl::StatusOr<std::string> Trial(Stream& stream, const PeerOptions& options, Communicator& peers,
                                  Communicator& staged) {
  constexpr int64_t kColumns = 2052, kMostRows = 100;
  const int64_t row_bytes = kColumns * BytesOf(DType::kF32);
  const int64_t by_ranges = PeerCommunicator::RangesFrom(options, peers.size());
  std::string wrong;
  for (const int64_t rows : {int64_t{1}, std::min(by_ranges / row_bytes + 1, kMostRows)}) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<float> want, Summed(stream, staged, rows, kColumns));
    const absl::StatusOr<std::vector<float>> got = Summed(stream, peers, rows, kColumns);
    if (!got.ok()) {
      wrong = MessageOf(got.status());
    } else if (std::memcmp(got->data(), want.data(), want.size() * sizeof(float)) != 0) {
      wrong = "its sums are not those of the host's exchange";
    }
  }
  return wrong;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeDeviceCommunicator(Stream& stream, Rendezvous& rendezvous,
                                                                     const PeerOptions& options) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> host, rendezvous.HostCommunicator());
  if (rendezvous.size() == 1) return host;
  auto staged = std::make_unique<StagedCommunicator>(stream, std::move(host));
  std::string why;
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<PeerCommunicator> peers,
                         PeerCommunicator::Make(stream, rendezvous, options, why));
  if (peers != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(const std::string wrong, Trial(stream, options, *peers, *staged));
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
