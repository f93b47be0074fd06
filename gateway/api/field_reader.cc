#include "gateway/api/field_reader.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "base/core/strict_json.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

std::string StringAdvice(size_t max_bytes) {
  if (max_bytes == SIZE_MAX) return "give a string";
  return absl::StrCat("give a string of at most ", max_bytes, " bytes");
}

}  // namespace

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

void FieldReader::FailAt(std::string_view path, std::string_view message) {
  if (failed()) return;
  const std::string full_path = absl::StrCat(prefix_, Absl(path));
  error_ = InvalidField(full_path, absl::StrCat(full_path, ": ", Absl(message)));
}

void FieldReader::FailUnsupported(const char* name, std::string_view what_to_do) {
  FailAt(name, absl::StrCat("this server does not support it yet; ", Absl(what_to_do)));
}

const json* FieldReader::FindDeclared(const void* field, const char* name) const {
  if (failed()) return nullptr;
  if (!shape_.Declares(field)) {
    error_ = InternalError();
    error_->message = absl::StrCat("a defect: ", shape_.name, " does not declare ", prefix_, name);
    return nullptr;
  }
  auto found = object_.find(name);
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

const json* FieldReader::WhereFilled(const json* field) {
  if (field == nullptr || field->is_number() || field->is_boolean()) return field;
  const bool empty = field->is_string() ? field->get_ref<const std::string&>().empty() : field->empty();
  return empty ? nullptr : field;
}

std::optional<double> FieldReader::Number(const NumberField& field) {
  const json* found = Find(field);
  if (found == nullptr) return std::nullopt;
  const double value = found->is_number() ? found->get<double>() : NAN;
  if (value >= field.min && value <= field.max) return value;
  Fail(field, absl::StrCat("give a number from ", field.min, " to ", field.max));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::Integer(const IntegerField& field) {
  const json* found = Find(field);
  if (found == nullptr) return std::nullopt;
  const json number = AsInteger(*found);
  const bool fits = number.is_number_integer() &&
                    (!number.is_number_unsigned() || number.get<uint64_t>() <= uint64_t{INT64_MAX});
  if (fits) {
    const int64_t value = number.get<int64_t>();
    if (value >= field.min && value <= field.max) return value;
  }
  Fail(field, absl::StrCat("give an integer from ", field.min, " to ", field.max));
  return std::nullopt;
}

std::optional<bool> FieldReader::Bool(const BoolField& field) {
  const json* found = Find(field);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) {
    Fail(field, "give true or false");
    return std::nullopt;
  }
  if (*field.never != '\0' && found->get<bool>()) Unsupported(field, field.never);
  return found->get<bool>();
}

std::optional<std::string> FieldReader::String(const StringField& field) {
  const json* found = Find(field);
  if (found == nullptr) return std::nullopt;
  if (found->is_string() && found->get_ref<const std::string&>().size() <= field.max_bytes) {
    return found->get<std::string>();
  }
  Fail(field, StringAdvice(field.max_bytes));
  return std::nullopt;
}

std::string_view FieldReader::Text(const StringField& field) {
  const json* found = Find(field);
  if (found != nullptr && found->is_string()) return found->get_ref<const std::string&>();
  Fail(field, StringAdvice(SIZE_MAX));
  return {};
}

std::optional<std::string> FieldReader::Choice(const ChoiceField& field) {
  const json* found = Find(field);
  if (found == nullptr && !field.required) return std::nullopt;
  const auto is_it = [&](const char* word) { return *found == word; };
  if (found != nullptr && std::any_of(field.words.begin(), field.words.end(), is_it)) {
    return found->get<std::string>();
  }
  const bool is_word = found == nullptr ||
                       (found->is_string() && found->get_ref<const std::string&>().size() <= field.max_bytes);
  if (!is_word && field.max_bytes > 0) {
    Fail(field, StringAdvice(field.max_bytes));
  } else if (field.not_yet) {
    Unsupported(field, field.advice);
  } else {
    Fail(field, field.advice);
  }
  return std::nullopt;
}

std::optional<FieldReader> FieldReader::Object(const ObjectField& field) {
  const json* found = Find(field);
  const bool absent = found == nullptr || (field.or_empty && found->is_object() && found->empty());
  if (!absent && found->is_object()) {
    return Inside(field, *found, *field.shape);
  }
  if (!absent || field.required) Fail(field, field.advice);
  return std::nullopt;
}

FieldReader FieldReader::InsideOf(const char* name, const json& object, const DeclaredObject& shape) {
  return FieldReader(object, shape, error_, absl::StrCat(prefix_, name, "."));
}

const json* FieldReader::List(const ListField& field) {
  const json* found = Find(field);
  if (found == nullptr && !field.required) return nullptr;
  if (found != nullptr) {
    if (field.or_string && found->is_string()) return found;
    if (found->is_array() && found->size() >= field.min_items && found->size() <= field.max_items)
      return found;
  }
  if (*field.advice != '\0') {
    Fail(field, field.advice);
  } else {
    const std::string most = field.min_items > 0 ? absl::StrCat(field.min_items, " to ") : "at most ";
    Fail(field, absl::StrCat("give ", field.or_string ? "a string, or " : "", "a list of ", most,
                             field.max_items, " ", field.nouns));
  }
  return nullptr;
}

void FieldReader::ForEach(const ListField& field, const json& list,
                          absl::FunctionRef<void(FieldReader& item, size_t index)> read) {
  for (size_t i = 0; i < list.size() && !failed(); ++i) {
    const std::string path = absl::StrCat(field.name, ".", i);
    if (!list[i].is_object()) return FailAt(path, field.item_advice);
    FieldReader item(list[i], *field.item, error_, absl::StrCat(prefix_, path, "."));
    read(item, i);
  }
}

void FieldReader::Refuse(const RefusedField& field) {
  const json* found = Find(field);
  if (found == nullptr) return;
  const json accepted = json::parse(field.accepted);
  if (std::find(accepted.begin(), accepted.end(), *found) != accepted.end()) return;
  if (field.not_yet) return Unsupported(field, field.advice);
  Fail(field, field.advice);
}

}  // namespace quire::gateway
