// Takes typed, range-checked fields out of one JSON object and remembers the first thing that was wrong, so
// that a parser reads as a list of fields. After the first error every call is a no-op that returns nothing.
// A null field is an absent one. Not thread-safe; lives for one parse.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/api/error_response.h"

namespace quire::gateway {

// The integer that a JSON number stands for, however it is written (5, 5.0, 5e0), as an integer of JSON,
// unsigned if it can be; a number that stands for none comes back as it is, and what is no number as null.
nlohmann::ordered_json AsInteger(const nlohmann::ordered_json& value);

// A request's body as the object that it has to be; the error is a 400.
ApiResult<nlohmann::ordered_json> ReadBodyObject(std::string_view body);

class FieldReader {
 public:
  // `prefix` is the object's own path with a trailing dot, or empty; `error` outlives the reader and is
  // shared by the readers of nested objects.
  FieldReader(const nlohmann::ordered_json& object, std::string prefix, std::optional<http::ApiError>& error)
      : object_(object), prefix_(std::move(prefix)), error_(error) {}

  bool failed() const { return error_.has_value(); }

  // nullptr: absent or null, or an error came before.
  const nlohmann::ordered_json* Find(const char* name) const;
  // As Find, but an empty string, list or object is absent too.
  const nlohmann::ordered_json* FindFilled(const char* name) const;

  // nullptr where it is absent, too; what is no object is an error.
  const nlohmann::ordered_json* Object(const char* name);
  std::optional<double> Number(const char* name, double min, double max);
  // 5.0 is an integer, 5.5 isn't.
  std::optional<int64_t> Integer(const char* name, int64_t min, int64_t max);
  std::optional<bool> Bool(const char* name);
  std::optional<std::string> String(const char* name, size_t max_bytes);

  // Refuses a value that this version can't honour yet.
  void Unsupported(const char* name, std::string_view what_to_do);
  // path is relative to this object: "stop.3".
  void Fail(std::string_view path, std::string_view message);

 private:
  const nlohmann::ordered_json& object_;
  const std::string prefix_;
  std::optional<http::ApiError>& error_;
};

}  // namespace quire::gateway
