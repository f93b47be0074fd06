#include "coordinator/api/admin_fields.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/strict_json.h"

namespace quire::coordinator {
namespace {

using nlohmann::json;

constexpr int64_t kNanoPerUsd = 1'000'000'000;
constexpr size_t kDecimals = 9;
constexpr size_t kMaxAccountBytes = 64;

bool IsPrintable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

}  // namespace

absl::Status Wrong(const std::string& field, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("'", field, "' ", why));
}

absl::StatusOr<json> ParseObject(const std::string& body) {
  const absl::StatusOr<nlohmann::ordered_json> root = ParseStrictJson(body);
  if (!root.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body must be a JSON object: ", MessageOf(root.status())));
  }
  if (!root->is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  return json(*root);
}

absl::Status ReadText(const json& value, const std::string& field, size_t max_bytes, std::string* out) {
  if (!value.is_string()) return Wrong(field, "must be a string");
  *out = value.get<std::string>();
  if (out->empty() || out->size() > max_bytes || !IsPrintable(*out)) {
    return Wrong(field, absl::StrCat("must have 1..", max_bytes, " bytes and no control characters"));
  }
  return absl::OkStatus();
}

absl::Status ReadAccount(const json& value, std::string* out) {
  QUIRE_RETURN_IF_ERROR(ReadText(value, "account", kMaxAccountBytes, out));
  const bool plain = std::all_of(out->begin(), out->end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  return plain ? absl::OkStatus() : Wrong("account", "may have letters, digits, '-', '_' and '.' only");
}

absl::Status ReadTime(const std::string& text, const std::string& field, int64_t* out) {
  if (!absl::SimpleAtoi(text, out) || *out < 0) return Wrong(field, "must be Unix milliseconds");
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadMoney(const json& value, const std::string& field) {
  if (!absl::EndsWith(field, "_nano_usd")) {
    if (!value.is_string()) return Wrong(field, "must be a string like \"12.50\"");
    return NanoUsdFromText(value.get<std::string>());
  }
  const bool in_range =
      value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{kMaxUsd} * kNanoPerUsd;
  if (!in_range) return Wrong(field, "must be a whole number of nano-dollars, at most 10^18");
  return value.get<int64_t>();
}

absl::StatusOr<int64_t> NanoUsdFromText(const std::string& text) {
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "an amount must look like \"12.50\", with at most ", kDecimals, " decimals and at most ", kMaxUsd));
  const size_t point = text.find('.');
  std::string whole = text.substr(0, point);
  std::string decimals = point == std::string::npos ? "" : text.substr(point + 1);
  const bool digits_only = std::all_of(whole.begin(), whole.end(), absl::ascii_isdigit) &&
                           std::all_of(decimals.begin(), decimals.end(), absl::ascii_isdigit);
  int64_t usd = 0, nano = 0;
  if (!digits_only || whole.empty() || decimals.size() > kDecimals ||
      (point != std::string::npos && decimals.empty()) || !absl::SimpleAtoi(whole, &usd) || usd > kMaxUsd) {
    return wrong;
  }
  decimals.resize(kDecimals, '0');
  if (!absl::SimpleAtoi(decimals, &nano)) return wrong;
  return usd * kNanoPerUsd + nano;
}

std::string UsdText(int64_t nano_usd) {
  const uint64_t magnitude =
      nano_usd < 0 ? 0 - static_cast<uint64_t>(nano_usd) : static_cast<uint64_t>(nano_usd);
  char decimals[kDecimals + 2];
  std::snprintf(decimals, sizeof decimals, ".%09u", static_cast<unsigned>(magnitude % kNanoPerUsd));
  return absl::StrCat(nano_usd < 0 ? "-" : "", magnitude / kNanoPerUsd, decimals);
}

json MoneyJson(int64_t nano_usd) {
  json money = json::object();
  money["nano_usd"] = nano_usd;
  money["usd"] = UsdText(nano_usd);
  return money;
}

}  // namespace quire::coordinator
