// What Launcher asks its programs about the model before anything starts.
#include <poll.h>
#include <sys/mman.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/exit_code.h"
#include "base/core/status.h"
#include "base/process/child.h"
#include "base/process/system_error.h"
#include "cli/launcher.h"
#include "cli/messages.h"
#include "cli/places.h"

namespace quire::cli {
namespace {

constexpr int64_t kMaxAnswerBytes = 1 << 20;  // one line that tells of each GPU of a host

}  // namespace

// Worker and gateway themselves know what they can load, weights and text: they are asked before anything
// starts, so that a broken model is said at once.
absl::Status Launcher::CheckModel() {
  std::error_code error;
  if (!std::filesystem::is_directory(options_.model, error)) {
    return absl::NotFoundError(absl::StrCat("--model ", options_.model, ": there is no such folder"));
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t ranks, options_.Ranks());
  QUIRE_ASSIGN_OR_RETURN(const int64_t groups, options_.Groups());
  // Of ranks on this host, also in a pod of a LeaderWorkerSet, whose place would be taken for theirs.
  std::vector<std::string> args = {"--check",
                                   "--model=" + options_.model,
                                   absl::StrCat("--ranks=", ranks),
                                   absl::StrCat("--host-groups=", groups),
                                   "--rank=0",
                                   "--shm=check"};
  for (std::string& flag : options_.PassedOnTo(ServeOptions::Program::kCheck))
    args.push_back(std::move(flag));
  QUIRE_ASSIGN_OR_RETURN(const std::string said, AskAboutModel("quire-worker", std::move(args)));
  if (stage_ == Stage::kStopped) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(TakePlan(nlohmann::json::parse(said, nullptr, false)));
  args = {"--check", options_.model, "--cors-origin=" + options_.cors_origin};
  for (std::string& flag : options_.PassedOnTo(ServeOptions::Program::kGateway))
    args.push_back(std::move(flag));
  return AskAboutModel("quire-gateway", std::move(args)).status();
}

// As the check tells it; all groups are started by it.
absl::Status Launcher::TakePlan(const nlohmann::json& answer) {
  if (!absl::SimpleAtoi(TextOf(answer, "ranks"), &ranks_) ||
      !absl::SimpleAtoi(TextOf(answer, "groups"), &groups_)) {
    return absl::InternalError("quire-worker does not say over how many ranks: is it of this build?");
  }
  plan_reason_ = TextOf(answer, "reason");
  backend_ = TextOf(answer, "backend");
  gpus_ = TextOf(answer, "gpus");
  if (answer.contains("notes")) {
    for (const nlohmann::json& note : answer["notes"])
      plan_notes_.push_back(note.is_string() ? note.get<std::string>() : "");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Launcher::AskAboutModel(const std::string& program,
                                                    std::vector<std::string> args) {
  const Fd report(memfd_create("quire-model-check", MFD_CLOEXEC));
  if (!report.valid()) return SystemError("can't ask about the model", errno);
  ChildSpec spec;
  QUIRE_ASSIGN_OR_RETURN(const std::string path, FindProgram(absl::StrCat(programs_, "/", program)));
  spec.argv = std::move(args);
  spec.argv.insert(spec.argv.begin(), path);
  spec.output = report.get();
  spec.death_signal = SIGKILL;
  QUIRE_ASSIGN_OR_RETURN(HeldChild check, ForkHeld(spec));
  const absl::Status opened = check.gate.Open();
  pollfd fds[] = {{check.process.pidfd.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  while (fds[0].revents == 0 && stage_ != Stage::kStopped) {
    if (poll(fds, std::size(fds), -1) > 0 && fds[0].revents == 0) TakeSignals();
  }
  if (stage_ == Stage::kStopped) SendSignal(check.process, SIGKILL);
  const ProcessEnd end = AwaitEnd(check.process);
  QUIRE_RETURN_IF_ERROR(opened);
  const std::string words = LastLines(absl::StrCat("/proc/self/fd/", report.get()), 1, kMaxAnswerBytes);
  if (end.clean() || stage_ == Stage::kStopped) return words;
  if (end.exit_code == kExitUsage) return absl::InvalidArgumentError(Readable(words));
  return absl::FailedPreconditionError(
      absl::StrCat("--model ", options_.model, ": ", words.empty() ? end.Text() : Readable(words)));
}

}  // namespace quire::cli
