#include "base/core/cpu_topology.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/core/cgroup.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire {
namespace {

constexpr int kCpuLimit = 8192;  // the most that Linux is built for

struct CpuMask {
  cpu_set_t sets[kCpuLimit / CPU_SETSIZE] = {};
};

// -1: it is none. Digits only, unlike absl's.
int ParseNumber(absl::string_view text) {
  int number = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  return digits && absl::SimpleAtoi(text, &number) ? number : -1;
}

// ceil(quota / period) of a limit's two numbers; none: "max", -1, or no limit's file.
std::optional<int64_t> CpusOf(absl::string_view quota, absl::string_view period) {
  int64_t quota_us = 0, period_us = 0;
  if (!absl::SimpleAtoi(quota, &quota_us) || !absl::SimpleAtoi(period, &period_us)) return std::nullopt;
  if (quota_us <= 0 || period_us <= 0) return std::nullopt;
  return (quota_us - 1) / period_us + 1;
}

// What one cgroup's folder says.
std::optional<int64_t> QuotaIn(const std::string& folder) {
  const auto v2 = ReadWholeFile(folder + "/cpu.max");
  if (v2.ok()) {
    const std::vector<absl::string_view> numbers =
        absl::StrSplit(*v2, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    return numbers.size() == 2 ? CpusOf(numbers[0], numbers[1]) : std::nullopt;
  }
  const auto quota = ReadWholeFile(folder + "/cpu.cfs_quota_us");
  const auto period = ReadWholeFile(folder + "/cpu.cfs_period_us");
  return quota.ok() && period.ok() ? CpusOf(*quota, *period) : std::nullopt;
}

// The CPUs of each node that the folder shows; a node whose list can't be read has none.
std::map<int, CpuList> ReadNodes(const std::string& folder) {
  std::map<int, CpuList> nodes;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    absl::string_view number = name;
    if (!absl::ConsumePrefix(&number, "node") || ParseNumber(number) < 0) continue;
    const absl::StatusOr<std::string> text = ReadWholeFile(entry->path().string() + "/cpulist");
    if (!text.ok()) continue;
    nodes[ParseNumber(number)] = ParseCpuList(absl::StripAsciiWhitespace(*text)).value_or(CpuList());
  }
  return nodes;
}

std::string CpuCount(size_t count) { return absl::StrCat(count, " usable CPU", count == 1 ? "" : "s"); }

CpuNodes AsOne(const CpuList& usable, absl::string_view why) {
  return {{usable}, absl::StrCat(why, CpuCount(usable.size()))};
}

}  // namespace

absl::StatusOr<CpuList> ParseCpuList(absl::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("no CPU is named; give a list like 0-3,8");
  CpuList cpus;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    const int first = ParseNumber(ends.first);
    const int last = absl::StrContains(part, '-') ? ParseNumber(ends.second) : first;
    if (first < 0 || last < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", part, "' is neither a CPU's number nor a range; give a list like 0-3,8"));
    }
    if (last < first) return absl::InvalidArgumentError(absl::StrCat("the range ", part, " runs backwards"));
    if (last >= kCpuLimit) {
      return absl::InvalidArgumentError(absl::StrCat("CPU ", last, " is above ", kCpuLimit - 1));
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string FormatCpuList(const CpuList& cpus) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    parts.push_back(last == i ? absl::StrCat(cpus[i]) : absl::StrCat(cpus[i], "-", cpus[last]));
    i = last + 1;
  }
  return absl::StrJoin(parts, ",");
}

CpuList UsableCpus() {
  CpuMask mask;
  if (sched_getaffinity(0, sizeof mask.sets, mask.sets) != 0) return {0};
  CpuList cpus;
  for (int cpu = 0; cpu < kCpuLimit; ++cpu) {
    if (CPU_ISSET_S(cpu, sizeof mask.sets, mask.sets)) cpus.push_back(cpu);
  }
  return cpus;
}

std::optional<int64_t> CpuQuota(const std::string& root) {
  std::optional<int64_t> least;
  for (const std::string& folder : CgroupFolders("cpu", root)) {
    const std::optional<int64_t> cpus = QuotaIn(folder);
    if (cpus && (!least || *cpus < *least)) least = cpus;
  }
  return least;
}

int64_t ThreadsWithin(int64_t cpus, std::optional<int64_t> quota, int64_t sharers) {
  const int64_t part = quota ? *quota / std::max<int64_t>(1, sharers) : cpus;
  return std::max<int64_t>(1, std::min(cpus, part));
}

absl::Status RunOnCpus(const CpuList& cpus) {
  const CpuList usable = UsableCpus();
  CpuMask mask;
  for (const int cpu : cpus) {
    if (!std::binary_search(usable.begin(), usable.end(), cpu)) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no CPU ", cpu, " for this process: it may use ", FormatCpuList(usable)));
    }
    CPU_SET_S(cpu, sizeof mask.sets, mask.sets);
  }
  if (sched_setaffinity(0, sizeof mask.sets, mask.sets) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("can't run on CPUs ", FormatCpuList(cpus), ": ", std::strerror(errno)));
}

CpuNodes GroupByNode(const CpuList& usable, const std::string& folder) {
  CpuNodes found;
  CpuList left = usable;
  size_t least = usable.size(), most = 0;
  for (const auto& [number, cpus] : ReadNodes(folder)) {
    CpuList mine, others;
    std::set_intersection(left.begin(), left.end(), cpus.begin(), cpus.end(), std::back_inserter(mine));
    std::set_difference(left.begin(), left.end(), cpus.begin(), cpus.end(), std::back_inserter(others));
    left = std::move(others);
    if (mine.empty()) continue;
    least = std::min(least, mine.size());
    most = std::max(most, mine.size());
    found.nodes.push_back(std::move(mine));
  }
  if (found.nodes.empty() || !left.empty()) return AsOne(usable, "no NUMA nodes known, ");
  if (found.nodes.size() == 1) return AsOne(usable, "1 NUMA node with ");
  if (2 * least < most) {
    return AsOne(usable, absl::StrCat("NUMA nodes too uneven for a rank each (", least, " to ", most,
                                      " CPUs), together "));
  }
  const auto append_size = [](std::string* out, const CpuList& node) { absl::StrAppend(out, node.size()); };
  found.description = absl::StrCat(found.nodes.size(), " NUMA nodes with ",
                                   absl::StrJoin(found.nodes, " and ", append_size), " usable CPUs");
  return found;
}

}  // namespace quire
