#include "base/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/core/json_text.h"

namespace quire {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void InitLogging(std::string_view component, std::string_view level) {
  auto logger = std::make_shared<spdlog::logger>("quire", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","component":)" + JsonQuoted(component) +
                          R"(,"pid":%P,%v})",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(std::string(level)));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

namespace log_internal {

void AppendField(std::string& line, std::string_view key, std::string_view value) {
  AppendRaw(line, key, JsonQuoted(value));
}

void AppendRaw(std::string& line, std::string_view key, std::string_view raw) {
  line.append(",").append(JsonQuoted(key)).append(":").append(raw);
}

void Emit(LogLevel level, std::string_view event, const std::string& fields) {
  spdlog::default_logger_raw()->log(ToSpdlog(level), "\"event\":{}{}", JsonQuoted(event), fields);
}

}  // namespace log_internal
}  // namespace quire
