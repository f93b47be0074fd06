#include "coordinator/api/admin_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/api_key.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "coordinator/api/admin_json.h"
#include "coordinator/api/ledger_call.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr const char* kKeysPath = "/admin/v1/keys";

HttpReply MethodNotAllowed(const std::string& allowed) {
  HttpReply reply = ErrorReply(405, "method_not_allowed", absl::StrCat("this path takes ", allowed));
  reply.headers["allow"] = allowed;
  return reply;
}

json ListOf(json data) {
  json body = json::object();
  body["object"] = "list";
  body["data"] = std::move(data);
  return body;
}

}  // namespace

AdminService::AdminService(const Parts& parts, std::string pepper)
    : parts_(parts), pepper_(std::move(pepper)), state_metrics_(*parts.metrics) {}

HttpReply AdminService::Handle(const HttpRequest& request) {
  if (request.method == "GET" && request.path == "/healthz") return JsonReply(200, json{{"status", "ok"}});
  if (request.method == "GET" && request.path == "/readyz") return ShowReadiness();
  if (request.method == "GET" && request.path == "/metrics") return ShowMetrics();
  if (!IsAdmin(request)) {
    HttpReply reply =
        ErrorReply(401, "invalid_api_key", "give an admin key: Authorization: Bearer ak-quire-...");
    reply.headers["www-authenticate"] = "Bearer";
    return reply;
  }
  return Route(request);
}

bool AdminService::IsAdmin(const HttpRequest& request) const {
  constexpr absl::string_view kScheme = "Bearer ";
  auto header = request.headers.find("authorization");
  if (header == request.headers.end() || !absl::StartsWithIgnoreCase(header->second, kScheme)) return false;
  const std::string text = header->second.substr(kScheme.size());
  const std::optional<ParsedApiKey> parsed = ParseApiKey(text);
  if (!parsed || parsed->kind != KeyKind::kAdmin) return false;
  const std::optional<KeyRow> key = parts_.facts->FindKey(parsed->id);
  // An unknown id costs the same time as a wrong secret.
  const std::string expected = key ? key->hmac : std::string(Digest().size(), '\0');
  const bool equal = ConstantTimeEqual(ToBytes(ApiKeyHmac(pepper_, text)), expected);
  return equal && key && key->kind == KeyKind::kAdmin;
}

HttpReply AdminService::Route(const HttpRequest& request) {
  const std::string key_prefix = absl::StrCat(kKeysPath, "/");
  if (request.path == kKeysPath) {
    if (request.method == "POST") return CreateKey(request);
    if (request.method == "GET") return ListKeys();
    return MethodNotAllowed("GET, POST");
  }
  if (absl::StartsWith(request.path, key_prefix)) {
    if (request.method != "DELETE") return MethodNotAllowed("DELETE");
    return RevokeKey(request.path.substr(key_prefix.size()));
  }
  const bool known = request.path == "/admin/v1/groups" || request.path == "/admin/v1/usage" ||
                     request.path == "/admin/v1/audit";
  if (!known) return ErrorReply(404, "not_found", "no such path");
  if (request.method != "GET") return MethodNotAllowed("GET");
  if (request.path == "/admin/v1/groups") return ListGroups();
  if (request.path == "/admin/v1/usage") return ShowUsage(request);
  return ShowAudit();
}

// ---- keys ----

HttpReply AdminService::CreateKey(const HttpRequest& request) {
  const absl::StatusOr<NewKeySpec> spec = ParseNewKey(request.body);
  if (!spec.ok()) return ErrorReply(spec.status());
  const absl::StatusOr<LedgerFacts> facts = CallLedger<LedgerFacts>(
      *parts_.ledger, [](Ledger& ledger, Reply<LedgerFacts> reply) { ledger.GetFacts(std::move(reply)); });
  if (!facts.ok()) return ErrorReply(facts.status());
  const bool exists = std::any_of(facts->accounts.begin(), facts->accounts.end(),
                                  [&](const AccountRow& account) { return account.id == spec->account; });
  if (!exists || spec->has_cap) {
    const absl::StatusOr<AccountRow> account =
        CallLedger<AccountRow>(*parts_.ledger, [spec = *spec](Ledger& ledger, Reply<AccountRow> reply) {
          ledger.PutAccount(spec.account, spec.cap_nano_usd, std::move(reply));
        });
    if (!account.ok()) return ErrorReply(account.status());
  }
  const NewApiKey made = GenerateApiKey(spec->kind);
  KeyRow row{made.id,
             spec->kind,
             ToBytes(ApiKeyHmac(pepper_, made.text)),
             spec->account,
             spec->name,
             spec->models,
             parts_.clock->UnixMs()};
  const absl::StatusOr<KeyRow> stored = CallLedger<KeyRow>(
      *parts_.ledger,
      [row](Ledger& ledger, Reply<KeyRow> reply) { ledger.CreateKey(row, std::move(reply)); });
  if (!stored.ok()) return ErrorReply(stored.status());
  Log(LogLevel::kInfo, "key_created", "key_id", stored->id, "account", stored->account);
  json body = KeyJson(*stored);
  body["key"] = made.text;  // shown this once
  return JsonReply(201, body);
}

HttpReply AdminService::ListKeys() {
  const absl::StatusOr<LedgerFacts> facts = CallLedger<LedgerFacts>(
      *parts_.ledger, [](Ledger& ledger, Reply<LedgerFacts> reply) { ledger.GetFacts(std::move(reply)); });
  if (!facts.ok()) return ErrorReply(facts.status());
  json data = json::array();
  for (const KeyRow& key : facts->keys) data.push_back(KeyJson(key));
  return JsonReply(200, ListOf(std::move(data)));
}

HttpReply AdminService::RevokeKey(const std::string& key_id) {
  const std::optional<KeyRow> live = parts_.facts->FindKey(key_id);
  if (live && live->kind == KeyKind::kAdmin && parts_.facts->CountKeys(KeyKind::kAdmin) == 1) {
    return ErrorReply(409, "last_admin_key", "this is the last admin key: create another one first");
  }
  const int64_t now_ms = parts_.clock->UnixMs();
  const absl::StatusOr<KeyRow> revoked =
      CallLedger<KeyRow>(*parts_.ledger, [key_id, now_ms](Ledger& ledger, Reply<KeyRow> reply) {
        ledger.RevokeKey(key_id, now_ms, std::move(reply));
      });
  if (!revoked.ok()) return ErrorReply(revoked.status());
  Log(LogLevel::kInfo, "key_revoked", "key_id", revoked->id, "account", revoked->account);
  return JsonReply(200, KeyJson(*revoked));
}

// ---- reports ----

HttpReply AdminService::ListGroups() {
  const std::vector<DrivenGroup> driven = parts_.fleet ? parts_.fleet->List() : std::vector<DrivenGroup>{};
  const RouterReport report = parts_.router->Report();
  json body = ListOf(GroupsJson(report, driven));
  body["open_requests"] = report.open_requests;
  body["waiting_requests"] = report.waiting;
  return JsonReply(200, body);
}

HttpReply AdminService::ShowUsage(const HttpRequest& request) {
  const absl::StatusOr<UsageQuery> query = ParseUsageQuery(request.query);
  if (!query.ok()) return ErrorReply(query.status());
  const absl::StatusOr<std::vector<UsageRow>> rows = parts_.reports->Usage(*query);
  if (!rows.ok()) return ErrorReply(rows.status());
  const absl::StatusOr<LedgerFacts> facts = CallLedger<LedgerFacts>(
      *parts_.ledger, [](Ledger& ledger, Reply<LedgerFacts> reply) { ledger.GetFacts(std::move(reply)); });
  if (!facts.ok()) return ErrorReply(facts.status());
  json data = json::array();
  UsageRow total;
  for (const UsageRow& row : *rows) {
    data.push_back(UsageJson(row));
    total.requests += row.requests;
    total.prompt_tokens += row.prompt_tokens;
    total.cached_tokens += row.cached_tokens;
    total.completion_tokens += row.completion_tokens;
    total.cost_nano_usd += row.cost_nano_usd;
  }
  json body = ListOf(std::move(data));
  body["total"] = UsageJson(total);
  for (const char* of_one_row : {"account", "key_id", "model"}) body["total"].erase(of_one_row);
  body["accounts"] = json::array();
  for (const AccountRow& account : facts->accounts) {
    if (!query->account || *query->account == account.id) body["accounts"].push_back(AccountJson(account));
  }
  return JsonReply(200, body);
}

HttpReply AdminService::ShowAudit() {
  const absl::StatusOr<AuditReport> report = parts_.reports->Audit();
  return report.ok() ? JsonReply(200, AuditJson(*report)) : ErrorReply(report.status());
}

// ---- probes ----

HttpReply AdminService::ShowMetrics() {
  state_metrics_.Update(parts_.router->Report());
  if (parts_.fleet != nullptr) state_metrics_.Update(parts_.fleet->List());
  const absl::StatusOr<LedgerCounters> counters = CallLedger<LedgerCounters>(
      *parts_.ledger, [](Ledger& ledger, Reply<LedgerCounters> reply) { reply(ledger.counters()); });
  if (counters.ok()) state_metrics_.Update(*counters);
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = parts_.metrics->Text();
  return reply;
}

HttpReply AdminService::ShowReadiness() const {
  const RouterReport report = parts_.router->Report();
  json body = json::object();
  body["status"] = draining_ ? "draining" : "ready";
  body["serving_groups"] =
      std::count_if(report.groups.begin(), report.groups.end(),
                    [](const GroupReport& group) { return group.state == GroupState::kServing; });
  return JsonReply(draining_ ? 503 : 200, body);
}

}  // namespace quire::coordinator
