#include "coordinator/api/posting_json.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/api/admin_fields.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr size_t kMaxNoteBytes = 500;
constexpr uint64_t kMaxEntries = 1000;

const char* NameOf(EntryKind kind) {
  switch (kind) {
    case EntryKind::kUsage:
      return "usage";
    case EntryKind::kReversal:
      return "reversal";
    case EntryKind::kCredit:
      return "credit";
  }
  return "unknown";
}

// 32 hexadecimal digits; a request's with what its client read before them, as chatcmpl-.
absl::StatusOr<RequestId> ReadEntryId(const std::string& text, const std::string& field) {
  const std::string digits = text.substr(text.find_last_of("-_") + 1);
  const bool is_hex = digits.size() == 2 * sizeof RequestId::bytes &&
                      digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hex)
    return Wrong(field, "must be an entry's id: 32 hexadecimal digits, or a request's id as clients read it");
  return RequestId::FromBytes(absl::HexStringToBytes(digits));
}

absl::Status ReadAmount(const json& value, const std::string& field, int64_t* out) {
  if (*out != 0) return Wrong(field, "and the other amount exclude one another");
  QUIRE_ASSIGN_OR_RETURN(*out, ReadMoney(value, field));
  return *out > 0 ? absl::OkStatus() : Wrong(field, "must be above 0");
}

}  // namespace

absl::StatusOr<Ledger::NewCredit> ParseCredit(const std::string& body) {
  QUIRE_ASSIGN_OR_RETURN(const json root, ParseObject(body));
  Ledger::NewCredit credit;
  for (const auto& [field, value] : root.items()) {
    absl::Status read;
    if (field == "account") {
      read = ReadAccount(value, &credit.account);
    } else if (field == "reference") {
      read = ReadText(value, field, kMaxNameBytes, &credit.reference);
    } else if (field == "amount_usd" || field == "amount_nano_usd") {
      read = ReadAmount(value, field, &credit.amount_nano_usd);
    } else if (field == "note") {
      read = ReadText(value, field, kMaxNoteBytes, &credit.note);
    } else {
      read = Wrong(field.substr(0, kMaxNameBytes), "is not a field of a credit");
    }
    if (!read.ok()) return read;
  }
  if (credit.account.empty()) return Wrong("account", "is required");
  if (credit.amount_nano_usd == 0) return Wrong("amount_usd", "is required: an amount like \"12.50\"");
  if (credit.reference.empty()) {
    return Wrong("reference",
                 "is required: a word of yours for this credit, as a payment's number; said again, it posts "
                 "nothing again");
  }
  return credit;
}

absl::StatusOr<ReversalSpec> ParseReversal(const std::string& body) {
  QUIRE_ASSIGN_OR_RETURN(const json root, ParseObject(body));
  ReversalSpec spec;
  bool has_entry = false;
  for (const auto& [field, value] : root.items()) {
    if (field == "entry") {
      std::string text;
      QUIRE_RETURN_IF_ERROR(ReadText(value, field, kMaxNameBytes, &text));
      QUIRE_ASSIGN_OR_RETURN(spec.entry, ReadEntryId(text, field));
      has_entry = true;
    } else if (field == "note") {
      QUIRE_RETURN_IF_ERROR(ReadText(value, field, kMaxNoteBytes, &spec.note));
    } else {
      return Wrong(field.substr(0, kMaxNameBytes), "is not a field of a reversal");
    }
  }
  if (!has_entry) return Wrong("entry", "is required: the id of the entry to take back");
  return spec;
}

absl::StatusOr<EntriesQuery> ParseEntriesQuery(const QueryFields& query) {
  EntriesQuery parsed;
  const auto read_own = [&](const std::string& field, const std::string& value) -> absl::Status {
    if (field == "after") {
      QUIRE_ASSIGN_OR_RETURN(parsed.after, ReadEntryId(value, field));
      return absl::OkStatus();
    }
    if (field != "limit") {
      return absl::InvalidArgumentError("entries takes from_ms, to_ms, account, after and limit");
    }
    const bool in_range =
        absl::SimpleAtoi(value, &parsed.limit) && parsed.limit >= 1 && parsed.limit <= kMaxEntries;
    return in_range ? absl::OkStatus() : Wrong(field, absl::StrCat("must be 1..", kMaxEntries));
  };
  QUIRE_RETURN_IF_ERROR(ReadQuery(query, read_own, parsed));
  return parsed;
}

json EntryJson(const EntryRow& entry) {
  json object = json::object();
  object["id"] = entry.id.ToHex();
  object["kind"] = NameOf(entry.kind);
  object["account"] = entry.account;
  object["amount"] = MoneyJson(entry.amount_nano_usd);
  object["note"] = entry.note;
  object["reverses"] = entry.reverses ? json(entry.reverses->ToHex()) : json();
  if (entry.kind == EntryKind::kCredit || entry.model.empty()) return object;
  object["key_id"] = entry.key_id;
  object["model"] = entry.model;
  object["price_version"] = entry.price_version;
  object["prompt_tokens"] = entry.billed.prompt;
  object["cached_tokens"] = entry.billed.cached;
  object["completion_tokens"] = entry.billed.completion;
  return object;
}

json EntryJson(const PostedEntry& posted) {
  json object = EntryJson(posted.entry);
  object["posted_ms"] = posted.closed_ms;
  return object;
}

}  // namespace quire::coordinator
