// What the bodies and queries of the admin API share: fields read one by one, each refused by its name, and
// money, shown twice: as integer nano-dollars and as an exact decimal of dollars in a string. Pure, any
// thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::coordinator {

inline constexpr int64_t kMaxUsd = 1'000'000'000;
inline constexpr size_t kMaxNameBytes = 128;

// InvalidArgument: 'FIELD' WHY.
absl::Status Wrong(const std::string& field, const std::string& why);
absl::StatusOr<nlohmann::json> ParseObject(const std::string& body);
// Of 1..max_bytes, printable.
absl::Status ReadText(const nlohmann::json& value, const std::string& field, size_t max_bytes,
                      std::string* out);
absl::Status ReadAccount(const nlohmann::json& value, std::string* out);
absl::Status ReadTime(const std::string& text, const std::string& field, int64_t* out);

using QueryFields = std::vector<std::pair<std::string, std::string>>;
// What was posted when, for whom: from_ms, to_ms and account, each once, and what `read_own`(field, value)
// reads.
template <typename Query, typename ReadOwn>
absl::Status ReadQuery(const QueryFields& fields, ReadOwn read_own, Query& parsed) {
  std::set<std::string> given;
  for (const auto& [field, value] : fields) {
    if (!given.insert(field).second) return Wrong(field.substr(0, kMaxNameBytes), "is given twice");
    absl::Status read;
    if (field == "from_ms") {
      read = ReadTime(value, field, &parsed.from_ms);
    } else if (field == "to_ms") {
      read = ReadTime(value, field, &parsed.to_ms);
    } else if (field == "account") {
      parsed.account = value;
    } else {
      read = read_own(field, value);
    }
    if (!read.ok()) return read;
  }
  return parsed.from_ms > parsed.to_ms ? Wrong("from_ms", "is after to_ms") : absl::OkStatus();
}

// A field whose name ends in _nano_usd has 12500000000, one that ends in _usd has "12.50".
absl::StatusOr<int64_t> ReadMoney(const nlohmann::json& value, const std::string& field);
// "12.5" <-> 12'500'000'000; at most 9 decimals, up to a billion dollars.
absl::StatusOr<int64_t> NanoUsdFromText(const std::string& text);
std::string UsdText(int64_t nano_usd);
nlohmann::json MoneyJson(int64_t nano_usd);

}  // namespace quire::coordinator
