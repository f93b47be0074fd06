#include "worker/gpu_groups.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

using Gpus = std::vector<kernels::DeviceChoice>;
using Places = std::vector<int>;  // in it

const kernels::DeviceChoice& At(const Gpus& gpus, int place) { return gpus[static_cast<size_t>(place)]; }

// An error with what was found out about each GPU that counts for nothing.
absl::Status TooFew(std::string why, const std::vector<std::string>& left) {
  for (const std::string& gpu : left) absl::StrAppend(&why, "; ", gpu);
  return absl::UnavailableError(why);
}

std::string NameOf(const kernels::DeviceChoice& gpu) {
  return absl::StrCat("number ", gpu.index, gpu.id.empty() ? "" : absl::StrCat(" (", gpu.id, ")"));
}

// Equal, or such that their sums are.
bool IsAlike(const kernels::DeviceChoice& a, const kernels::DeviceChoice& b, bool equal) {
  if (a.architecture != b.architecture) return false;
  return !equal || (a.product == b.product && a.memory_bytes >> 30 == b.memory_bytes >> 30);
}

// Takes groups of GPUs that are alike from `free`, in its order.
void TakeGroups(const Gpus& gpus, int64_t ranks, bool equal, Places& free, std::vector<Places>& groups) {
  Places rest;
  while (!free.empty()) {
    const auto alike = std::stable_partition(free.begin(), free.end(), [&, first = free.front()](int place) {
      return IsAlike(At(gpus, first), At(gpus, place), equal);
    });
    auto next = free.begin();
    for (; alike - next >= ranks; next += ranks) groups.emplace_back(next, next + ranks);
    rest.insert(rest.end(), next, alike);
    free.erase(free.begin(), alike);
  }
  std::sort(rest.begin(), rest.end());
  free = std::move(rest);
}

// Of those that hold their part of a group of so many ranks. The first group has the first GPU of all.
std::vector<Places> MakeGroups(const Gpus& gpus, int64_t ranks, Places holding) {
  std::vector<Places> groups;
  TakeGroups(gpus, ranks, /*equal=*/true, holding, groups);
  TakeGroups(gpus, ranks, /*equal=*/false, holding, groups);
  std::sort(groups.begin(), groups.end());
  return groups;
}

struct Try {
  std::vector<Places> groups;
  absl::Status failed;             // why there is none
  std::vector<std::string> small;  // GPUs that don't hold their part, and why
  Places holding;
};

Try TryRanks(const Gpus& gpus, const Places& usable, int64_t ranks, const GpuFits& fits) {
  Try made;
  for (const int place : usable) {
    const absl::Status held = fits(ranks, 1, At(gpus, place));
    if (held.ok()) {
      made.holding.push_back(place);
    } else {
      made.small.push_back(
          absl::StrCat(NameOf(At(gpus, place)), " holds no rank of ", ranks, ": ", MessageOf(held)));
      made.failed = absl::Status(held.code(), made.small.back());
    }
  }
  if (std::ssize(made.holding) >= ranks) {
    made.failed = absl::UnavailableError(
        absl::StrCat("a group of ", ranks, " ranks on this host takes as many GPUs of one architecture"));
  }
  made.groups = MakeGroups(gpus, ranks, made.holding);
  return made;
}

// As many as asked, or, where that is left to us, as the host's memory allows.
absl::Status Limit(const Gpus& gpus, int64_t ranks, int64_t asked, const GpuFits& fits,
                   std::vector<Places>& groups, std::vector<std::string>& left) {
  if (asked > std::ssize(groups)) {
    return TooFew(
        absl::StrCat(asked, " groups of ", ranks, " rank(s) take ", asked * ranks,
                     " GPUs, and there are enough for ", groups.size(), ": give --groups ", groups.size()),
        left);
  }
  if (asked > 0) groups.resize(static_cast<size_t>(asked));
  absl::Status held;
  const auto all_fit = [&] {
    for (const Places& group : groups) {
      for (const int place : group) {
        held = fits(ranks, std::ssize(groups), At(gpus, place));
        if (!held.ok()) return false;
      }
    }
    return true;
  };
  const size_t could_be = groups.size();
  std::string why;
  while (!all_fit()) {
    if (asked > 0 || groups.size() == 1) return held;
    why = MessageOf(held);
    groups.pop_back();
  }
  if (!why.empty()) {
    left.push_back(
        absl::StrCat("of ", could_be, " groups the host's memory holds ", groups.size(), ": ", why));
  }
  return absl::OkStatus();
}

// Those that would do, and are in none.
void TellRest(const Gpus& gpus, const Places& holding, GpuGroups& chosen) {
  std::vector<std::string> names;
  for (const int place : holding) {
    const bool taken = std::any_of(chosen.groups.begin(), chosen.groups.end(), [&](const Places& group) {
      return std::find(group.begin(), group.end(), place) != group.end();
    });
    if (!taken) names.push_back(NameOf(At(gpus, place)));
  }
  if (names.empty()) return;
  chosen.left.push_back(absl::StrCat("left over from ", chosen.groups.size(), " group(s) of ", chosen.ranks,
                                     " rank(s): ", absl::StrJoin(names, ", ")));
}

}  // namespace

absl::StatusOr<GpuGroups> ChooseGpuGroups(const Gpus& gpus, const GpuWish& wish, const GpuFits& fits) {
  GpuGroups chosen;
  Places usable;
  for (int place = 0; place < std::ssize(gpus); ++place) {
    const kernels::DeviceChoice& gpu = At(gpus, place);
    if (gpu.why_not.empty()) {
      usable.push_back(place);
    } else {
      chosen.left.push_back(absl::StrCat(NameOf(gpu), " can't be used: ", gpu.why_not));
    }
  }
  if (usable.empty()) return absl::UnavailableError(gpus.empty() ? "there is no GPU" : gpus.front().why_not);
  if (wish.ranks > std::ssize(usable)) {
    return TooFew(
        absl::StrCat("a group of ", wish.ranks, " ranks on this host takes as many GPUs, and there are ",
                     usable.size(), ": give --tensor-parallel ", usable.size()),
        chosen.left);
  }
  const int64_t most = wish.ranks > 0 ? wish.ranks : std::min<int64_t>(wish.most_ranks, std::ssize(usable));
  Try made;
  for (int64_t ranks = wish.ranks > 0 ? wish.ranks : 1; ranks <= most && made.groups.empty(); ranks *= 2) {
    made = TryRanks(gpus, usable, ranks, fits);
    chosen.ranks = ranks;
  }
  if (made.groups.empty()) return made.failed;
  std::move(made.small.begin(), made.small.end(), std::back_inserter(chosen.left));
  QUIRE_RETURN_IF_ERROR(Limit(gpus, chosen.ranks, wish.groups, fits, made.groups, chosen.left));
  chosen.groups = std::move(made.groups);
  TellRest(gpus, made.holding, chosen);
  return chosen;
}

}  // namespace quire::worker
