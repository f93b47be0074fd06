#include "coordinator/fleet/fleet_state.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

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

RecordedGroup FromJson(const json& object) {
  RecordedGroup group{Text(object, "id"),          Number(object, "epoch"),    Text(object, "shm"),
                      Text(object, "fingerprint"), Number(object, "restarts"), {}};
  for (const json& rank : List(object, "ranks")) {
    if (!rank.is_object()) continue;
    group.ranks.push_back({static_cast<pid_t>(Number(rank, "pid")), Number(rank, "start_time")});
  }
  return group;
}

}  // namespace

absl::StatusOr<FleetState> LoadFleetState(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadWholeFile(path);
  if (absl::IsNotFound(content.status())) return FleetState{};
  if (!content.ok()) return content.status();
  const json root = json::parse(*content, nullptr, false);
  if (!root.is_object()) {
    return absl::DataLossError(absl::StrCat(path, " is not JSON: stop its workers by hand, then delete it"));
  }
  FleetState state;
  state.boot_id = Text(root, "boot_id");
  for (const json& group : List(root, "groups")) {
    if (group.is_object()) state.groups.push_back(FromJson(group));
  }
  return state;
}

absl::Status SaveFleetState(const std::string& path, const FleetState& state) {
  json root = json::object();
  root["boot_id"] = state.boot_id;
  root["groups"] = json::array();
  for (const RecordedGroup& group : state.groups) root["groups"].push_back(ToJson(group));
  return WriteFileAtomically(path, root.dump(2), 0600);
}

}  // namespace quire::coordinator
