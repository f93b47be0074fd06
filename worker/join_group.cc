#include "worker/join_group.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "worker/parallel/shm_group.h"
#include "worker/parallel/tcp/tcp_communicator.h"
#include "worker/parallel/tcp/tcp_group.h"

namespace quire::worker {
namespace {

absl::Status TakeNumber(const Environment& environment, const char* name, int64_t least, int64_t most,
                        int64_t& value) {
  const char* const text = environment(name);
  if (text == nullptr) return absl::OkStatus();
  if (absl::SimpleAtoi(text, &value) && value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the variable ", name, " is \"", text,
                                                 "\", not a number from ", least, " to ", most,
                                                 ": unset it, or run this pod in a LeaderWorkerSet"));
}

absl::StatusOr<RankGroup> JoinOverTcp(const WorkerConfig& config, const GroupTerms& terms,
                                      LivenessCallbacks callbacks) {
  TcpGroupOptions options;
  options.meeting.rank = static_cast<int>(config.rank);
  options.meeting.size = static_cast<int>(config.ranks);
  options.meeting.rendezvous = config.Rendezvous();
  options.meeting.tls = {config.tls.cert, config.tls.key, config.tls.ca};
  options.meeting.insecure = config.insecure;
  QUIRE_ASSIGN_OR_RETURN(options.meeting.secret, config.WorkerSecret());
  options.spin_us = config.spin_us;
  options.buffers = terms.buffers;
  options.agreement = terms.agreement;
  return JoinTcpGroup(options, std::move(callbacks));
}

}  // namespace

absl::Status TakeLwsDefaults(const Environment& environment, WorkerConfig& config) {
  QUIRE_RETURN_IF_ERROR(TakeNumber(environment, "LWS_GROUP_SIZE", 1, kMaxRanks, config.ranks));
  QUIRE_RETURN_IF_ERROR(TakeNumber(environment, "LWS_WORKER_INDEX", 0, kMaxRanks - 1, config.rank));
  if (const char* const leader = environment("LWS_LEADER_ADDRESS"); leader != nullptr && *leader != '\0') {
    config.lws_rendezvous = JoinHostPort(leader, kRendezvousPort);
  }
  return absl::OkStatus();
}

absl::Status CheckPlacement(const WorkerConfig& config) {
  if (config.rank >= config.ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank ", config.rank, " is not below --ranks ", config.ranks));
  }
  if (!config.rendezvous.empty() && !config.shm.empty()) {
    return absl::InvalidArgumentError(
        "--shm is for ranks on one host, --rendezvous for ranks on several: give one of them");
  }
  if (config.ranks == 1 && !config.rendezvous.empty()) {
    return absl::InvalidArgumentError(
        "--rendezvous is for a group of several ranks: give --ranks, or leave it out");
  }
  if (config.ranks > 1 && config.shm.empty() && config.Rendezvous().empty()) {
    return absl::InvalidArgumentError(
        "give all ranks of the group one --shm name, new for every epoch; or, where they run on several "
        "hosts, "
        "--rendezvous HOST:PORT of rank 0");
  }
  return config.Rendezvous().empty() ? absl::OkStatus()
                                     : ParseHostPort(config.Rendezvous(), kRendezvousPort).status();
}

int64_t BufferBytesHere(const WorkerConfig& config, const BufferSizes& sizes) {
  const auto ranks = static_cast<int>(config.ranks);
  if (config.Rendezvous().empty()) return GroupMemory::BytesFor(sizes, ranks);
  return TcpCommunicator::BytesFor(ranks, sizes.exchange_bytes) + sizes.plan_bytes;
}

absl::StatusOr<RankGroup> JoinGroup(const WorkerConfig& config, const GroupTerms& terms,
                                    LivenessCallbacks callbacks) {
  QUIRE_RETURN_IF_ERROR(CheckPlacement(config));
  const std::string where = config.Rendezvous().empty() ? "" : absl::StrCat(" at ", config.Rendezvous());
  Log(LogLevel::kInfo, "loading", "what", absl::StrCat("waiting for all ", config.ranks, " ranks", where));
  if (!config.Rendezvous().empty()) return JoinOverTcp(config, terms, std::move(callbacks));
  ShmGroupOptions options;
  options.shm = terms.shm;
  options.rank = static_cast<int>(config.rank);
  options.size = static_cast<int>(config.ranks);
  options.spin_us = config.spin_us;
  options.agreement = terms.agreement;
  options.buffers = terms.buffers;
  return JoinShmGroup(options, std::move(callbacks));
}

}  // namespace quire::worker
