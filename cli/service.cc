#include "cli/service.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/process/child.h"
#include "cli/messages.h"
#include "cli/places.h"

namespace quire::cli {
namespace {

constexpr int64_t kMostReadBytes = 1 << 20;
constexpr int64_t kFirstBackoffMs = 100, kMaxBackoffMs = 5000, kStableMs = 10'000;

// 0 if there is none.
int64_t SizeOf(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

}  // namespace

Service::Service(std::string name, std::string program, const std::string& logs, Arguments arguments)
    : name_(std::move(name)),
      program_(std::move(program)),
      logs_(logs),
      log_file_(absl::StrCat(logs, "/", name_, ".log")),
      error_file_(absl::StrCat(logs, "/", name_, ".err")),
      arguments_(std::move(arguments)),
      backoff_ms_(kFirstBackoffMs) {}

Service::~Service() {
  if (!running()) return;
  Signal(SIGKILL);
  AwaitEnd(process_);
}

absl::Status Service::Start(int64_t now_ms) {
  start_at_ms_ = 0;
  ready_ = told_to_stop_ = false;
  ChildSpec spec;
  spec.argv = arguments_();
  QUIRE_ASSIGN_OR_RETURN(std::string program, FindProgram(program_));
  spec.argv.insert(spec.argv.begin(), std::move(program));
  QUIRE_ASSIGN_OR_RETURN(const Fd errors, OpenOutput(error_file_));
  spec.output = errors.get();
  spec.death_signal = SIGTERM;
  log_start_ = SizeOf(log_file_);
  QUIRE_ASSIGN_OR_RETURN(HeldChild child, ForkHeld(spec));
  if (const absl::Status opened = child.gate.Open(); !opened.ok()) {
    AwaitEnd(child.process);
    return opened;
  }
  process_ = std::move(child.process);
  started_ms_ = now_ms;
  return absl::OkStatus();
}

int64_t Service::StartLater(int64_t now_ms) {
  const int64_t delay_ms = backoff_ms_;
  backoff_ms_ = std::min(backoff_ms_ * 2, kMaxBackoffMs);
  start_at_ms_ = now_ms + delay_ms;
  return delay_ms;
}

ProcessEnd Service::Reap(int64_t now_ms) {
  const ProcessEnd end = AwaitEnd(process_);
  process_ = Process();
  ended_by_itself_ = end.exit_code.has_value();
  ready_ = false;
  if (now_ms - started_ms_ >= kStableMs) backoff_ms_ = kFirstBackoffMs;
  return end;
}

std::string Service::LastWords() const {
  std::string words = LastLines(error_file_, 1);
  if (!words.empty() || !ended_by_itself_) return words;
  const int64_t size = SizeOf(log_file_);
  std::ifstream log(log_file_, std::ios::binary);
  log.seekg(std::max(size < log_start_ ? 0 : log_start_, size - kMostReadBytes));  // smaller: begun anew
  for (std::string line; std::getline(log, line) && !log.eof();) {                 // a part of a line is none
    const nlohmann::json fields = nlohmann::json::parse(line, nullptr, false);
    if (TextOf(fields, "level") == "error") words = line;
  }
  return words.empty() ? MessageOf(CheckWritable(logs_)) : words;
}

}  // namespace quire::cli
