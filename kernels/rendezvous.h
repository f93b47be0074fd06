// Where the ranks of a group meet at the start: each says some bytes and hears what all said (their limits,
// the digest of their weights, later what NCCL needs), and a device that exchanges tensors through host
// memory gets its Communicator. Each rank's process owns one; the thread that starts the rank calls it. All
// ranks make the same calls in the same order. Implementations live in worker/parallel: shared memory, TCP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/communicator.h"

namespace quire::kernels {

class Rendezvous {
 public:
  static constexpr int64_t kMaxRecordBytes = 2048;
  static constexpr int64_t kUsualLimitUs = 120'000'000;

  virtual ~Rendezvous() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every rank's record, in rank order, once all ranks called it. The group is lost if another rank takes
  // longer than `limit_us` to come; Unavailable then. InvalidArgument: a record of more than kMaxRecordBytes.
  absl::StatusOr<std::vector<std::string>> AllGather(const std::string& record,
                                                     int64_t limit_us = kUsualLimitUs) {
    if (std::ssize(record) <= kMaxRecordBytes) return Gather(record, limit_us);
    return absl::InvalidArgumentError(
        absl::StrCat("a record of ", record.size(), " bytes; ranks share at most ", kMaxRecordBytes));
  }
  // For tensors in host memory. Called once; the group outlives what it returns.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> HostCommunicator() = 0;

 protected:
  // AllGather, of a record that is short enough.
  virtual absl::StatusOr<std::vector<std::string>> Gather(const std::string& record, int64_t limit_us) = 0;
};

}  // namespace quire::kernels
