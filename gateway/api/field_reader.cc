#include "gateway/api/field_reader.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "base/core/strict_json.h"

namespace quire::gateway {

nlohmann::ordered_json AsInteger(const nlohmann::ordered_json& value) {
  if (!value.is_number()) return nullptr;
  if (value.is_number_unsigned()) return value;
  if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();
    return number < 0 ? value : nlohmann::ordered_json(static_cast<uint64_t>(number));
  }
  const double number = value.get<double>();
  // 2^64 and -2^63 are also what the first integers beyond are read as.
  if (number != std::trunc(number) || number >= 0x1p64 || number <= -0x1p63) return value;
  if (number < 0) return static_cast<int64_t>(number);
  return static_cast<uint64_t>(number);
}

ApiResult<nlohmann::ordered_json> ReadBodyObject(std::string_view body) {
  absl::StatusOr<nlohmann::ordered_json> root = ParseStrictJson(body);
  if (!root.ok()) {
    return BadJson(absl::StrCat("the request body is not acceptable JSON: ", root.status().message()));
  }
  if (!root->is_object()) return BadJson("the request body must be a JSON object");
  return *std::move(root);
}

void FieldReader::Fail(std::string_view path, std::string_view message) {
  if (failed()) return;
  const std::string full_path = absl::StrCat(prefix_, Absl(path));
  error_ = InvalidField(full_path, absl::StrCat(full_path, ": ", Absl(message)));
}

void FieldReader::Unsupported(const char* name, std::string_view what_to_do) {
  Fail(name, absl::StrCat("this server does not support it yet; ", Absl(what_to_do)));
}

const nlohmann::ordered_json* FieldReader::Find(const char* name) const {
  if (failed()) return nullptr;
  auto found = object_.find(name);
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

const nlohmann::ordered_json* FieldReader::FindFilled(const char* name) const {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr || field->is_number() || field->is_boolean()) return field;
  const bool empty = field->is_string() ? field->get_ref<const std::string&>().empty() : field->empty();
  return empty ? nullptr : field;
}

const nlohmann::ordered_json* FieldReader::Object(const char* name) {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr || field->is_object()) return field;
  Fail(name, "give an object");
  return nullptr;
}

std::optional<double> FieldReader::Number(const char* name, double min, double max) {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  const double value = field->is_number() ? field->get<double>() : NAN;
  if (value >= min && value <= max) return value;
  Fail(name, absl::StrCat("give a number from ", min, " to ", max));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::Integer(const char* name, int64_t min, int64_t max) {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  const nlohmann::ordered_json number = AsInteger(*field);
  const bool fits = number.is_number_integer() &&
                    (!number.is_number_unsigned() || number.get<uint64_t>() <= uint64_t{INT64_MAX});
  if (fits) {
    const int64_t value = number.get<int64_t>();
    if (value >= min && value <= max) return value;
  }
  Fail(name, absl::StrCat("give an integer from ", min, " to ", max));
  return std::nullopt;
}

std::optional<bool> FieldReader::Bool(const char* name) {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  if (field->is_boolean()) return field->get<bool>();
  Fail(name, "give true or false");
  return std::nullopt;
}

std::optional<std::string> FieldReader::String(const char* name, size_t max_bytes) {
  const nlohmann::ordered_json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  if (field->is_string() && field->get_ref<const std::string&>().size() <= max_bytes) {
    return field->get<std::string>();
  }
  Fail(name, absl::StrCat("give a string of at most ", max_bytes, " bytes"));
  return std::nullopt;
}

}  // namespace quire::gateway
