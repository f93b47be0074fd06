#include "base/process/process.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/files.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets to say that it is C
}

namespace quire {
namespace {

ProcessEnd ReapWith(const Process& process, int options) {
  siginfo_t info{};
  int result;
  do {
    result = waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED | options);
  } while (result != 0 && errno == EINTR);
  ProcessEnd end;
  if (result != 0 || info.si_pid == 0) return end;
  (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
  return end;
}

}  // namespace

std::string ProcessEnd::Text() const {
  if (exit_code) return absl::StrCat("exit code ", *exit_code);
  return signal ? absl::StrCat("signal ", *signal) : "ended";
}

uint64_t StartTimeOf(pid_t pid) {
  const std::string stat = ReadWholeFile(absl::StrCat("/proc/", pid, "/stat")).value_or("");
  const size_t after_name = stat.rfind(") ");  // the name may itself hold blanks and brackets
  if (after_name == std::string::npos) return 0;
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(after_name + 2), ' ');
  uint64_t start_time = 0;
  constexpr size_t kStartTime = 22 - 3;  // fields[0] is the third
  if (fields.size() <= kStartTime || fields[0] == "Z" || !absl::SimpleAtoi(fields[kStartTime], &start_time))
    return 0;
  return start_time;
}

std::optional<Process> FindLiving(pid_t pid, uint64_t start_time) {
  if (pid <= 1 || start_time == 0) return std::nullopt;
  Process process{pid, start_time, Fd(pidfd_open(pid, 0))};
  // Looked at after the pidfd is held: it can't change hands any more.
  if (!process.pidfd.valid() || StartTimeOf(pid) != start_time) return std::nullopt;
  return process;
}

std::vector<std::string> ArgumentsOf(const Process& process) {
  std::string command_line = ReadWholeFile(absl::StrCat("/proc/", process.pid, "/cmdline")).value_or("");
  if (command_line.empty()) return {};
  command_line.pop_back();  // every argument ends with a NUL: none follows the last one
  return absl::StrSplit(command_line, '\0');
}

bool WritesErrorsTo(const Process& process, const std::string& path) {
  struct stat open_file {
  }, named{};
  return stat(absl::StrCat("/proc/", process.pid, "/fd/2").c_str(), &open_file) == 0 &&
         lstat(path.c_str(), &named) == 0 && S_ISREG(named.st_mode) && open_file.st_dev == named.st_dev &&
         open_file.st_ino == named.st_ino;
}

bool SendSignal(const Process& process, int signal_number) {
  return process.pidfd.valid() && pidfd_send_signal(process.pidfd.get(), signal_number, nullptr, 0) == 0;
}

ProcessEnd Reap(const Process& process) { return ReapWith(process, WNOHANG); }
ProcessEnd AwaitEnd(const Process& process) { return ReapWith(process, 0); }

int ReapAdopted(const std::vector<pid_t>& own) {
  // One's own ended child would be found again and again, so each child is asked by its pid.
  std::ifstream list(absl::StrCat("/proc/self/task/", getpid(), "/children"));
  int reaped = 0;
  for (pid_t pid = 0; list >> pid;) {
    if (std::find(own.begin(), own.end(), pid) == own.end() && waitpid(pid, nullptr, WNOHANG) == pid)
      ++reaped;
  }
  return reaped;
}

std::string BootId() {
  std::string id = ReadWholeFile("/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

std::string PidNamespaceId() {
  char target[PATH_MAX];
  const ssize_t length = readlink("/proc/self/ns/pid", target, sizeof target);
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : std::string();
}

}  // namespace quire
