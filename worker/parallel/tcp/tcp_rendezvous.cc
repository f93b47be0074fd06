#include "worker/parallel/tcp/tcp_rendezvous.h"

#include <cstring>
#include <utility>

#include "base/core/status.h"
#include "worker/parallel/tcp/tcp_communicator.h"

namespace quire::worker {
namespace {

constexpr size_t kMostOfOne = kernels::Rendezvous::kMaxRecordBytes;
constexpr size_t kMostOfAll = kMaxRanks * (kMostOfOne + sizeof(uint32_t));

// What Framed wrote, one after the other. Empty: it does not parse.
std::vector<std::string> Unpack(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    uint32_t length = 0;
    if (bytes.size() - at < sizeof(length)) return {};
    std::memcpy(&length, bytes.data() + at, sizeof(length));
    at += sizeof(length);
    if (bytes.size() - at < length) return {};
    records.push_back(bytes.substr(at, length));
    at += length;
  }
  return records;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> TcpRendezvous::GatherAtRank0(const std::string& record) {
  std::vector<std::string> records{record};
  std::string all = Framed(record);
  for (int r = 1; r < size(); ++r) {
    QUIRE_ASSIGN_OR_RETURN(const std::string other,
                           group_.Read(group_.star()[static_cast<size_t>(r)], kMostOfOne));
    all += Framed(other);
    records.push_back(other);
  }
  for (int r = 1; r < size(); ++r) {
    QUIRE_RETURN_IF_ERROR(group_.Send(group_.star()[static_cast<size_t>(r)], all));
  }
  return records;
}

absl::StatusOr<std::vector<std::string>> TcpRendezvous::AskRank0(const std::string& record) {
  QUIRE_RETURN_IF_ERROR(group_.Send(group_.star()[0], record));
  QUIRE_ASSIGN_OR_RETURN(const std::string all, group_.Read(group_.star()[0], kMostOfAll));
  std::vector<std::string> records = Unpack(all);
  if (std::ssize(records) != size()) return absl::InternalError("rank 0's records do not parse");
  return records;
}

absl::StatusOr<std::vector<std::string>> TcpRendezvous::Gather(const std::string& record, int64_t limit_us) {
  group_.BeginTimed(0, limit_us);
  group_.Enter(Phase::kAgreeing);
  auto records = rank() == 0 ? GatherAtRank0(record) : AskRank0(record);
  if (!records.ok()) return records;
  group_.EndTimed();
  group_.Enter(Phase::kStarting);
  return records;
}

absl::StatusOr<std::unique_ptr<kernels::Communicator>> TcpRendezvous::HostCommunicator() {
  return std::make_unique<TcpCommunicator>(group_, exchange_bytes_, spin_us_);
}

}  // namespace quire::worker
