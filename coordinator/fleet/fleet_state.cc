#include "coordinator/fleet/fleet_state.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/json_file.h"
#include "base/core/status.h"
#include "coordinator/fleet/worker_registry.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr int kVersion = 2;

uint64_t Number(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

std::string Text(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

const json& List(const json& object, const char* key) {
  static const json kEmpty = json::array();
  auto it = object.find(key);
  return it != object.end() && it->is_array() ? *it : kEmpty;
}

json ToJson(const RecordedGroup& group) {
  json ranks = json::array();
  for (const RecordedProcess& rank : group.ranks) {
    json process = json::object();
    process["pid"] = rank.pid;
    process["start_time"] = rank.start_time;
    ranks.push_back(std::move(process));
  }
  json object = json::object();
  object["id"] = group.id;
  object["epoch"] = group.epoch;
  object["shm"] = group.shm_name;
  object["fingerprint"] = group.fingerprint;
  object["restarts"] = group.restarts;
  object["ranks"] = std::move(ranks);
  return object;
}

// Nullopt: no process can have been meant by it.
std::optional<RecordedProcess> RankFromJson(const json& object) {
  if (!object.is_object()) return std::nullopt;
  const uint64_t pid = Number(object, "pid"), start_time = Number(object, "start_time");
  if (pid <= 1 || pid > std::numeric_limits<pid_t>::max() || start_time == 0) return std::nullopt;
  return RecordedProcess{static_cast<pid_t>(pid), start_time};
}

std::optional<RecordedGroup> GroupFromJson(const json& object) {
  if (!object.is_object()) return std::nullopt;
  RecordedGroup group{Text(object, "id"),          Number(object, "epoch"),    Text(object, "shm"),
                      Text(object, "fingerprint"), Number(object, "restarts"), {}};
  if (!WorkerRegistry::IsGroupId(group.id) || group.epoch == 0 || group.epoch > WorkerRegistry::kMaxEpoch)
    return std::nullopt;
  for (const json& rank : List(object, "ranks")) {
    const std::optional<RecordedProcess> process = RankFromJson(rank);
    if (!process || group.shm_name.empty()) {
      group.ranks.clear();
      break;
    }
    group.ranks.push_back(*process);
  }
  return group;
}

}  // namespace

absl::StatusOr<FleetState> LoadFleetState(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadWholeFile(path);
  if (absl::IsNotFound(content.status())) return FleetState{};
  if (!content.ok()) return content.status();
  const json root = ParseJsonText(*content);
  if (!root.is_object()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not JSON: stop its quire-worker processes by hand, then delete it"));
  }
  FleetState state;
  state.boot_id = Text(root, "boot_id");
  state.pid_namespace = Text(root, "pid_namespace");
  for (const json& object : List(root, "groups")) {
    if (std::optional<RecordedGroup> group = GroupFromJson(object)) state.groups.push_back(*std::move(group));
  }
  return state;
}

absl::Status SaveFleetState(const std::string& path, const FleetState& state) {
  json root = json::object();
  root["version"] = kVersion;
  root["boot_id"] = state.boot_id;
  root["pid_namespace"] = state.pid_namespace;
  root["groups"] = json::array();
  for (const RecordedGroup& group : state.groups) {
    if (group.epoch > 0 && !group.shm_name.empty()) root["groups"].push_back(ToJson(group));
  }
  absl::Status saved = WriteFileAtomically(path, root.dump(2), 0600);
  if (saved.ok()) return saved;
  return absl::UnavailableError(absl::StrCat(
      MessageOf(saved), ": no group starts that isn't recorded; free space, or make the folder writable"));
}

}  // namespace quire::coordinator
