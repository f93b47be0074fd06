// One JSON line per event, on stderr or in a file (log_options.h): {"ts":...,"event":...,key:value...}. Never
// pass prompt or completion text, keys or tokens (ARCHITECTURE 5.1): log ids, counts and reasons. Any
// thread may call it.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace quire {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// Call once in main. `level` is debug, info, warn or error.
void InitLogging(std::string_view component, std::string_view level = "info");

namespace log_internal {
void AppendField(std::string& line, std::string_view key, std::string_view value);
void AppendRaw(std::string& line, std::string_view key, std::string_view raw);
void Emit(LogLevel level, std::string_view event, const std::string& fields);

inline void AppendAll(std::string&) {}
template <typename Value, typename... Rest>
void AppendAll(std::string& line, std::string_view key, const Value& value, const Rest&... rest) {
  if constexpr (std::is_same_v<Value, bool>) {
    AppendRaw(line, key, value ? "true" : "false");
  } else if constexpr (std::is_arithmetic_v<Value>) {
    AppendRaw(line, key, std::to_string(value));
  } else if constexpr (std::is_same_v<Value, absl::string_view>) {
    AppendField(line, key, std::string_view(value.data(), value.size()));
  } else {
    AppendField(line, key, std::string_view(value));
  }
  AppendAll(line, rest...);
}
}  // namespace log_internal

// Log(LogLevel::kInfo, "group_ready", "group", group_id, "ranks", 2)
template <typename... KeyValues>
void Log(LogLevel level, std::string_view event, const KeyValues&... key_values) {
  static_assert(sizeof...(key_values) % 2 == 0, "log fields come in pairs: key, value");
  std::string fields;
  log_internal::AppendAll(fields, key_values...);
  log_internal::Emit(level, event, fields);
}

}  // namespace quire
