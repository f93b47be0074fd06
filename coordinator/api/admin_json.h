// The admin API's bodies about keys, accounts, groups and reports: what is read from them, checked field by
// field, and how rows are shown (admin_fields.h). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/http/reply.h"
#include "coordinator/api/admin_fields.h"
#include "coordinator/fleet/fleet_driver.h"
#include "coordinator/ledger/ledger_reports.h"
#include "coordinator/ledger/records.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

// What POST /admin/v1/keys asks for.
struct NewKeySpec {
  KeyKind kind = KeyKind::kApi;
  std::string name, account = "default";
  std::vector<std::string> models;
  std::optional<int64_t> cap_nano_usd;  // of the account; set only if given
  bool has_cap = false;                 // given, perhaps as null: no cap
};

// What PUT /admin/v1/accounts/ID asks for.
struct CapSpec {
  std::string account;
  std::optional<int64_t> cap_nano_usd;  // none: unlimited
};

// InvalidArgument names the field.
absl::StatusOr<CapSpec> ParseCap(const std::string& account, const std::string& body);
absl::StatusOr<NewKeySpec> ParseNewKey(const std::string& body);
absl::StatusOr<UsageQuery> ParseUsageQuery(const QueryFields& query);

nlohmann::json KeyJson(const KeyRow& key);
nlohmann::json AccountJson(const AccountRow& account);
nlohmann::json UsageJson(const UsageRow& row);
nlohmann::json AuditJson(const AuditReport& report);
// Groups that are registered, driven, or both.
nlohmann::json GroupsJson(const RouterReport& report, const std::vector<DrivenGroup>& driven);

http::Reply JsonReply(int status, const nlohmann::json& body);
http::Reply ErrorReply(const absl::Status& status);

}  // namespace quire::coordinator
