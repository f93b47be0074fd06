#include "coordinator/fleet/epoch_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/json_file.h"
#include "base/core/status.h"
#include "coordinator/fleet/worker_registry.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr int64_t kWriteAgainMs = int64_t{24} * 3600 * 1000;

bool IsNumber(const json& object, const char* key, uint64_t most) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() && found->get<uint64_t>() <= most;
}

}  // namespace

absl::Status EpochFile::Load(int64_t unix_ms) {
  const absl::StatusOr<std::string> content = ReadWholeFile(path_);
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  if (!content.ok()) return content.status();
  const json root = ParseJsonText(*content);
  const absl::Status damaged = absl::FailedPreconditionError(
      absl::StrCat(path_, " is damaged: stop all worker groups, then delete it"));
  if (!root.is_object()) return damaged;
  MutexLock lock(&mutex_);
  int64_t last_heard_ms = 0;
  for (const auto& [id, known] : root.items()) {
    if (!known.is_object() || !IsNumber(known, "epoch", WorkerRegistry::kMaxEpoch) ||
        !IsNumber(known, "heard_ms", INT64_MAX)) {
      return damaged;
    }
    groups_[id] = {known["epoch"], known["heard_ms"]};
    last_heard_ms = std::max(last_heard_ms, groups_[id].heard_ms);
  }
  const int64_t now_ms = std::min(unix_ms, last_heard_ms);
  std::erase_if(groups_, [&](const auto& entry) { return now_ms - entry.second.heard_ms > kForgetAfterMs; });
  return absl::OkStatus();
}

absl::Status EpochFile::Raise(const std::string& group_id, uint64_t epoch, int64_t unix_ms) {
  MutexLock saving(&save_mutex_);
  if (IsFresh(group_id, epoch, unix_ms)) return absl::OkStatus();
  std::map<std::string, Known> groups;
  {
    MutexLock lock(&mutex_);
    groups = groups_;
  }
  const auto known = groups.find(group_id);
  if (known != groups.end() && epoch < known->second.epoch) {
    return absl::FailedPreconditionError(absl::StrCat("epoch ", epoch, " of group ", group_id, " is over (",
                                                      known->second.epoch, " was here): exit"));
  }
  const bool stands = known != groups.end() && epoch == known->second.epoch;
  int64_t heard_ms = std::max<int64_t>(unix_ms, 0);  // but never before another group's: the clock is behind
  for (const auto& [id, other] : groups) heard_ms = std::max(heard_ms, other.heard_ms);
  groups[group_id] = {epoch, heard_ms};
  const absl::Status saved = Save(groups);
  if (!saved.ok()) return stands ? absl::OkStatus() : saved;  // only that it was heard of is not written
  MutexLock lock(&mutex_);
  groups_ = std::move(groups);
  return absl::OkStatus();
}

bool EpochFile::IsFresh(const std::string& group_id, uint64_t epoch, int64_t unix_ms) const {
  MutexLock lock(&mutex_);
  const auto known = groups_.find(group_id);
  return known != groups_.end() && epoch == known->second.epoch &&
         unix_ms - known->second.heard_ms < kWriteAgainMs;
}

std::map<std::string, uint64_t> EpochFile::Epochs() const {
  MutexLock lock(&mutex_);
  std::map<std::string, uint64_t> epochs;
  for (const auto& [id, known] : groups_) epochs[id] = known.epoch;
  return epochs;
}

absl::Status EpochFile::Save(const std::map<std::string, Known>& groups) const {
  json root = json::object();
  for (const auto& [id, known] : groups) {
    root[id] = json{{"epoch", known.epoch}, {"heard_ms", known.heard_ms}};
  }
  return write_(path_, root.dump(1), 0600);
}

}  // namespace quire::coordinator
