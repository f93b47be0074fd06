#include "coordinator/api/admin_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/http/error_body.h"
#include "coordinator/api/admin_fields.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr size_t kMaxModels = 100, kMaxModelBytes = 256;

absl::Status ReadModels(const json& value, std::vector<std::string>* out) {
  if (!value.is_array() || value.empty() || value.size() > kMaxModels) {
    return Wrong("models",
                 absl::StrCat("must be a list of 1..", kMaxModels, " names; leave it out for all models"));
  }
  for (const json& model : value) {
    std::string name;
    QUIRE_RETURN_IF_ERROR(ReadText(model, "models", kMaxModelBytes, &name));
    out->push_back(std::move(name));
  }
  return absl::OkStatus();
}

absl::Status ReadKind(const json& value, KeyKind* out) {
  if (value != "api" && value != "admin") return Wrong("kind", "must be \"api\" or \"admin\"");
  *out = value == "api" ? KeyKind::kApi : KeyKind::kAdmin;
  return absl::OkStatus();
}

// "cap_usd": "12.50", "cap_nano_usd": 12500000000, or null for none.
absl::Status ReadCap(const json& value, const std::string& field, NewKeySpec* spec) {
  if (spec->has_cap) return Wrong(field, "and the other cap field exclude one another");
  spec->has_cap = true;
  if (value.is_null()) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(spec->cap_nano_usd, ReadMoney(value, field));
  return absl::OkStatus();
}

json RegisteredJson(const GroupReport& report) {
  const v1::GroupInfo& info = report.group.info;
  const v1::HeartbeatRequest& beat = report.group.beat;
  json object = json::object();
  object["id"] = info.group_id();
  object["state"] = GroupStateName(report.state);
  object["epoch"] = info.epoch();
  object["model"] = info.model();
  object["numerics_id"] = info.numerics_id();
  object["address"] = info.address();
  object["ranks"] = info.ranks();
  object["max_context"] = info.max_context();
  object["max_sequences"] = info.max_sequences();
  object["kv_blocks_total"] = report.capacity_blocks;
  object["kv_blocks_free"] = beat.kv_blocks_total() > 0 ? beat.kv_blocks_free() : report.capacity_blocks;
  object["kv_blocks_reserved"] = report.reserved.blocks;
  object["open_requests"] = report.reserved.requests;
  object["running"] = beat.running();
  object["waiting"] = beat.waiting();
  object["steps"] = beat.steps();
  object["emitted_tokens"] = beat.emitted_tokens();
  object["heard_ms_ago"] = report.heard_ms_ago;
  object["rank_metrics"] = std::vector<std::string>(info.rank_metrics().begin(), info.rank_metrics().end());
  return object;
}

json DrivenJson(const DrivenGroup& group) {
  json object = json::object();
  object["phase"] = GroupPhaseName(group.phase);
  object["epoch"] = group.epoch;
  object["pids"] = group.pids;
  object["restarts"] = group.restarts;
  object["restart_in_ms"] = group.restart_in_ms;
  object["last_exit"] = group.last_exit;
  object["logs"] = group.logs;
  return object;
}

}  // namespace

absl::StatusOr<CapSpec> ParseCap(const std::string& account, const std::string& body) {
  NewKeySpec spec;
  QUIRE_RETURN_IF_ERROR(ReadAccount(account, &spec.account));
  QUIRE_ASSIGN_OR_RETURN(const json root, ParseObject(body));
  for (const auto& [field, value] : root.items()) {
    if (field != "cap_usd" && field != "cap_nano_usd") {
      return Wrong(field.substr(0, kMaxNameBytes), "is not a field of an account");
    }
    QUIRE_RETURN_IF_ERROR(ReadCap(value, field, &spec));
  }
  if (!spec.has_cap) return Wrong("cap_usd", "is required: an amount like \"12.50\", or null for no cap");
  return CapSpec{spec.account, spec.cap_nano_usd};
}

absl::StatusOr<NewKeySpec> ParseNewKey(const std::string& body) {
  QUIRE_ASSIGN_OR_RETURN(const json root, ParseObject(body));
  NewKeySpec spec;
  for (const auto& [field, value] : root.items()) {
    absl::Status read;
    if (field == "name") {
      read = ReadText(value, field, kMaxNameBytes, &spec.name);
    } else if (field == "account") {
      read = ReadAccount(value, &spec.account);
    } else if (field == "models") {
      read = ReadModels(value, &spec.models);
    } else if (field == "kind") {
      read = ReadKind(value, &spec.kind);
    } else if (field == "cap_usd" || field == "cap_nano_usd") {
      read = ReadCap(value, field, &spec);
    } else {
      read = Wrong(field.substr(0, kMaxNameBytes), "is not a field of a key");
    }
    if (!read.ok()) return read;
  }
  if (spec.name.empty()) return Wrong("name", "is required");
  if (spec.has_cap && spec.kind == KeyKind::kAdmin) {
    return Wrong(
        "kind",
        "is admin, and such a key spends nothing: cap the account with PUT /admin/v1/accounts/{account}");
  }
  return spec;
}

absl::StatusOr<UsageQuery> ParseUsageQuery(const QueryFields& query) {
  UsageQuery parsed;
  const auto read_own = [&](const std::string& field, const std::string& value) {
    parsed.by_hour = field == "by" && value == "hour";
    return parsed.by_hour ? absl::OkStatus()
                          : absl::InvalidArgumentError("usage takes from_ms, to_ms, account and by=hour");
  };
  QUIRE_RETURN_IF_ERROR(ReadQuery(query, read_own, parsed));
  return parsed;
}

json KeyJson(const KeyRow& key) {
  json object = json::object();
  object["id"] = key.id;
  object["kind"] = key.kind == KeyKind::kApi ? "api" : "admin";
  object["name"] = key.name;
  object["account"] = key.account;
  object["models"] = key.models;
  object["created_ms"] = key.created_ms;
  object["revoked_ms"] = key.revoked_ms == 0 ? json() : json(key.revoked_ms);
  return object;
}

json AccountJson(const AccountRow& account) {
  json object = json::object();
  object["id"] = account.id;
  object["cap"] = account.cap_nano_usd ? MoneyJson(*account.cap_nano_usd) : json();
  object["posted"] = MoneyJson(account.balance_nano_usd);
  object["held"] = MoneyJson(account.held_nano_usd);
  return object;
}

json UsageJson(const UsageRow& row) {
  json object = json::object();
  object["account"] = row.account;
  object["key_id"] = row.key_id;
  object["model"] = row.model;
  if (row.hour_ms != 0) object["hour_ms"] = row.hour_ms;
  object["requests"] = row.requests;
  object["prompt_tokens"] = row.prompt_tokens;
  object["cached_tokens"] = row.cached_tokens;
  object["completion_tokens"] = row.completion_tokens;
  object["cost_nano_usd"] = row.cost_nano_usd;
  object["cost_usd"] = UsdText(row.cost_nano_usd);
  object["reversed_nano_usd"] = row.reversed_nano_usd;
  return object;
}

json AuditJson(const AuditReport& report) {
  json object = json::object();
  object["balanced"] = report.findings.empty();
  object["findings"] = report.findings;
  object["accounts"] = report.accounts;
  object["open_requests"] = report.open_requests;
  object["entries"] = report.entries;
  object["posted"] = MoneyJson(report.posted_nano_usd);
  object["held"] = MoneyJson(report.held_nano_usd);
  return object;
}

json GroupsJson(const RouterReport& report, const std::vector<DrivenGroup>& driven) {
  std::map<std::string, json> groups;
  for (const GroupReport& group : report.groups) groups[group.group.info.group_id()] = RegisteredJson(group);
  for (const DrivenGroup& group : driven) {
    json& object = groups[group.id];
    object["process"] = DrivenJson(group);
    if (object.contains("id")) continue;
    object["id"] = group.id;
    object["epoch"] = group.epoch;
    object["state"] = group.phase == GroupPhase::kRunning ? "starting" : "down";
  }
  json data = json::array();
  for (auto& [id, object] : groups) data.push_back(std::move(object));
  return data;
}

http::Reply JsonReply(int status, const json& body) {
  // A worker's log may end in any bytes.
  return {.status = status, .body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

http::Reply ErrorReply(const absl::Status& status) {
  http::ApiError error{.status = 500, .message = MessageOf(status), .code = "internal"};
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      error.status = 400;
      error.code = "invalid_request";
      break;
    case absl::StatusCode::kNotFound:
      error.status = 404;
      error.code = "not_found";
      break;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      error.status = 409;
      error.code = "conflict";
      break;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      error.status = 503;
      error.code = "unavailable";
      error.retry_after_s = 1;
      break;
    default:
      break;
  }
  return http::ErrorReply(error);
}

}  // namespace quire::coordinator
