#include "base/core/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <system_error>

#include "base/core/json_text.h"
#include "base/core/log_options.h"

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

void SetLogger(std::string_view component, std::string_view level, spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("quire", std::move(sink));
  logger->set_pattern(R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","component":)" + JsonQuoted(component) +
                          R"(,"pid":%P,%v})",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(std::string(level)));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

}  // namespace

void InitLogging(std::string_view component, std::string_view level) {
  SetLogger(component, level, std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

void InitLogging(std::string_view component, const LogOptions& options) {
  InitLogging(component, options.level);
  if (options.file.empty()) return;
  const std::filesystem::path folder = std::filesystem::path(options.file).parent_path();
  if (std::error_code error; !folder.empty() && !std::filesystem::is_directory(folder, error)) {
    // The sink would make it: a typo's folder, which nobody looks into.
    Log(LogLevel::kError, "log_file_not_written", "file", options.file, "why",
        "its folder is not there: make it");
    return;
  }
  try {
    const auto max_bytes = static_cast<size_t>(options.max_mb) << 20;
    const auto old_files = static_cast<size_t>(options.files - 1);
    SetLogger(component, options.level,
              std::make_shared<spdlog::sinks::rotating_file_sink_mt>(options.file, max_bytes, old_files));
  } catch (const spdlog::spdlog_ex& error) {
    Log(LogLevel::kError, "log_file_not_written", "file", options.file, "why", error.what());
  }
}

void LogOptions::Declare(Options& options) {
  options.Add("log-file", &file, "FILE", "where log lines go; default: stderr");
  DeclareLimits(options);
}

void LogOptions::DeclareLimits(Options& options) {
  constexpr IntLimits kMegabytes{1, 1 << 20}, kFiles{1, 1000};
  options.Add("log-level", &level, "debug|info|warn|error", "the least that is logged");
  options.Add("log-max-mb", &max_mb, "MB", "a log file is set aside at this size", kMegabytes);
  options.Add("log-files", &files, "N", "how many files of a log are kept, the current one included", kFiles);
}

std::vector<std::string> LogOptions::FlagsFor(const std::string& log_file) const {
  return {"--log-level",          level,         "--log-file",         log_file, "--log-max-mb",
          std::to_string(max_mb), "--log-files", std::to_string(files)};
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
