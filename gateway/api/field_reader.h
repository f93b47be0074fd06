// Takes typed, range-checked fields out of one JSON object, each by its declaration (field.h), and remembers
// the first thing that was wrong, so that a parser reads as a list of fields. After the first error every
// call is a no-op that returns nothing. A null field is an absent one. Not thread-safe; lives for one parse.
// Always: what is read is in the list of the object's shape; anything else is a defect, said as a 500.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "gateway/api/error_response.h"
#include "gateway/api/field.h"

namespace quire::gateway {

// The integer that a JSON number stands for, however it is written (5, 5.0, 5e0), as an integer of JSON,
// unsigned if it can be; a number that stands for none comes back as it is, and what is no number as null.
nlohmann::ordered_json AsInteger(const nlohmann::ordered_json& value);

// A request's body as the object that it has to be; the error is a 400.
ApiResult<nlohmann::ordered_json> ReadBodyObject(std::string_view body);

template <typename T>
concept Declaration = std::constructible_from<AnyField, const T&> && requires(const T& field) {
  field.name;
};

class FieldReader {
 public:
  // `prefix` is the object's own path with a trailing dot, or empty; `error` outlives the reader and is
  // shared by the readers of nested objects.
  FieldReader(const nlohmann::ordered_json& object, const DeclaredObject& shape,
              std::optional<http::ApiError>& error, std::string prefix = "")
      : object_(object), shape_(shape), prefix_(std::move(prefix)), error_(error) {}

  bool failed() const { return error_.has_value(); }
  const nlohmann::ordered_json& object() const { return object_; }
  const std::string& prefix() const { return prefix_; }
  // The object's own; empty of the body.
  std::string path() const { return prefix_.substr(0, prefix_.size() - (prefix_.empty() ? 0 : 1)); }

  // nullptr: absent or null, or an error came before.
  template <Declaration T>
  const nlohmann::ordered_json* Find(const T& field) const {
    return FindDeclared(&field, field.name);
  }
  // As Find, but an empty string, list or object is absent too.
  template <Declaration T>
  const nlohmann::ordered_json* FindFilled(const T& field) const {
    return WhereFilled(Find(field));
  }

  std::optional<double> Number(const NumberField& field);
  std::optional<int64_t> Integer(const IntegerField& field);
  std::optional<bool> Bool(const BoolField& field);
  std::optional<std::string> String(const StringField& field);
  // As it stands in the object, of one that has to be there and may have any length; empty after an error.
  std::string_view Text(const StringField& field);
  // A required one that is absent is none of the words.
  std::optional<std::string> Choice(const ChoiceField& field);
  // The reader of the object there; nullopt where it is absent, too.
  std::optional<FieldReader> Object(const ObjectField& field);
  // Of an object that was found there.
  FieldReader Inside(const Declaration auto& field, const nlohmann::ordered_json& object,
                     const DeclaredObject& shape) {
    return InsideOf(field.name, object, shape);
  }
  // The list there, or the string where it may be one; nullptr where it is absent, too.
  const nlohmann::ordered_json* List(const ListField& field);
  // Calls read(item, its index) for each of a list, up to the first error.
  void ForEach(const ListField& field, const nlohmann::ordered_json& list,
               absl::FunctionRef<void(FieldReader& item, size_t index)> read);
  // Says why, where it is there with another value than those that are let be.
  void Refuse(const RefusedField& field);

  // Refuses a value that this version can't honour yet.
  void Unsupported(const Declaration auto& field, std::string_view what_to_do) {
    FailUnsupported(field.name, what_to_do);
  }
  void Fail(const Declaration auto& field, std::string_view message) { FailAt(field.name, message); }
  // path is relative to this object: "stop.3".
  void FailAt(std::string_view path, std::string_view message);

 private:
  const nlohmann::ordered_json* FindDeclared(const void* field, const char* name) const;
  static const nlohmann::ordered_json* WhereFilled(const nlohmann::ordered_json* field);
  FieldReader InsideOf(const char* name, const nlohmann::ordered_json& object, const DeclaredObject& shape);
  void FailUnsupported(const char* name, std::string_view what_to_do);

  const nlohmann::ordered_json& object_;
  const DeclaredObject& shape_;
  const std::string prefix_;
  std::optional<http::ApiError>& error_;
};

}  // namespace quire::gateway
