#include "gateway/api/field_reader.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

void FieldReader::Fail(std::string_view path, std::string_view message) {
  if (failed()) return;
  const std::string full_path = absl::StrCat(prefix_, Absl(path));
  error_ = InvalidField(full_path, absl::StrCat(full_path, ": ", Absl(message)));
}

void FieldReader::Unsupported(const char* name, std::string_view what_to_do) {
  Fail(name, absl::StrCat("this server does not support it yet; ", Absl(what_to_do)));
}

const nlohmann::json* FieldReader::Find(const char* name) const {
  if (failed()) return nullptr;
  auto found = object_.find(name);
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

std::optional<double> FieldReader::Number(const char* name, Range range) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  const double value = field->is_number() ? field->get<double>() : NAN;
  const bool above_min = range.min_excluded ? value > range.min : value >= range.min;
  if (above_min && value <= range.max) return value;
  Fail(name, absl::StrCat("give a number from ", range.min, range.min_excluded ? " (excluded) to " : " to ",
                          range.max));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::Integer(const char* name, int64_t min, int64_t max) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  const bool fits = field->is_number_integer() &&
                    (!field->is_number_unsigned() || field->get<uint64_t>() <= uint64_t{INT64_MAX});
  if (fits) {
    const int64_t value = field->get<int64_t>();
    if (value >= min && value <= max) return value;
  }
  Fail(name, absl::StrCat("give an integer from ", min, " to ", max));
  return std::nullopt;
}

std::optional<bool> FieldReader::Bool(const char* name) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  if (field->is_boolean()) return field->get<bool>();
  Fail(name, "give true or false");
  return std::nullopt;
}

std::optional<std::string> FieldReader::String(const char* name, size_t max_bytes) {
  const nlohmann::json* field = Find(name);
  if (field == nullptr) return std::nullopt;
  if (field->is_string() && field->get_ref<const std::string&>().size() <= max_bytes) {
    return field->get<std::string>();
  }
  Fail(name, absl::StrCat("give a string of at most ", max_bytes, " bytes"));
  return std::nullopt;
}

}  // namespace quire::gateway
