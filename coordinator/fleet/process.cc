#include "coordinator/fleet/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets to say that it is C
}
extern char** environ;

namespace quire::coordinator {
namespace {

constexpr int64_t kLogTailBytes = 2048;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// 0 when there is no such process.
uint64_t StartTimeOf(pid_t pid) {
  const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
  const size_t after_name = stat.rfind(") ");  // the name may itself hold blanks and brackets
  if (after_name == std::string::npos) return 0;
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(after_name + 2), ' ');
  uint64_t start_time = 0;
  constexpr size_t kStartTime = 22 - 3;  // fields[0] is the third
  if (fields.size() <= kStartTime || fields[0] == "Z" || !absl::SimpleAtoi(fields[kStartTime], &start_time))
    return 0;
  return start_time;
}

// Frees what posix_spawn's settings hold.
struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

void Configure(SpawnSettings& settings, const std::string& log_path) {
  constexpr int kFirstOther = 3;
  posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&settings.files, STDOUT_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&settings.files, STDOUT_FILENO, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&settings.files, kFirstOther);
  // Our threads block SIGTERM and SIGINT and ignore SIGPIPE; a child must not inherit that.
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &defaults);
  posix_spawnattr_setpgroup(&settings.attributes, 0);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<Process> StartProcess(const std::vector<std::string>& argv, const std::string& log_path) {
  SpawnSettings settings;
  Configure(settings, log_path);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  Process process;
  const int error = posix_spawnp(&process.pid, arguments[0], &settings.files, &settings.attributes,
                                 arguments.data(), environ);
  if (error != 0) {
    return absl::NotFoundError(absl::StrCat("can't start ", argv[0], ": ", std::strerror(error)));
  }
  process.pidfd = Fd(pidfd_open(process.pid, 0));  // not reaped yet, so the pid is still its own
  if (!process.pidfd.valid()) {
    const std::string reason = std::strerror(errno);
    kill(process.pid, SIGKILL);
    waitpid(process.pid, nullptr, 0);
    return absl::InternalError(absl::StrCat("pidfd_open: ", reason));
  }
  process.start_time = StartTimeOf(process.pid);
  return process;
}

std::optional<Process> FindLiving(pid_t pid, uint64_t start_time) {
  if (pid <= 0 || start_time == 0) return std::nullopt;
  Process process{pid, start_time, Fd(pidfd_open(pid, 0))};
  // Looked at after the pidfd is held: it can't change hands any more.
  if (!process.pidfd.valid() || StartTimeOf(pid) != start_time) return std::nullopt;
  return process;
}

bool SendSignal(const Process& process, int signal_number) {
  return pidfd_send_signal(process.pidfd.get(), signal_number, nullptr, 0) == 0;
}

std::string Reap(const Process& process) {
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return "ended";
  }
  return absl::StrCat(info.si_code == CLD_EXITED ? "exit code " : "signal ", info.si_status);
}

void KillByArgument(const std::string& argument) {
  if (argument.empty()) return;  // every command line has an empty piece after its last NUL
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return;
  while (const dirent* entry = readdir(proc)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid) || pid == getpid()) continue;
    const Fd pidfd(pidfd_open(pid, 0));
    const std::string command_line = ReadAll(absl::StrCat("/proc/", pid, "/cmdline"));
    const std::vector<std::string> arguments = absl::StrSplit(command_line, '\0');
    if (pidfd.valid() && std::find(arguments.begin(), arguments.end(), argument) != arguments.end()) {
      pidfd_send_signal(pidfd.get(), SIGKILL, nullptr, 0);
    }
  }
  closedir(proc);
}

std::string LastLines(const std::string& path, int lines) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  const int64_t from = std::max<int64_t>(0, size - kLogTailBytes);
  std::string tail(static_cast<size_t>(size - from), '\0');
  file.seekg(from);
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  std::vector<std::string> all = absl::StrSplit(tail, '\n', absl::SkipEmpty());
  if (all.size() > static_cast<size_t>(lines)) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

std::string BootId() {
  std::string id = ReadAll("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

}  // namespace quire::coordinator
