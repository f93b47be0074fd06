#include "kernels/gpu_names.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/status.h"

namespace quire::kernels {
namespace {

constexpr absl::string_view kOwnName = "GPU-";

absl::Status NotNamed(absl::string_view name, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("--gpus: \"", name, "\" ", why));
}

absl::StatusOr<int> NamedGpu(const std::vector<std::string>& ids, absl::string_view name) {
  int index = 0;
  if (absl::SimpleAtoi(name, &index)) {
    if (index >= 0 && index < std::ssize(ids)) return index;
    return NotNamed(name,
                    absl::StrCat("is none of the ", ids.size(),
                                 " GPUs that CUDA lists, which count from 0 (CUDA_VISIBLE_DEVICES hides "
                                 "others)"));
  }
  if (!absl::StartsWith(name, kOwnName) || name == kOwnName) {
    return NotNamed(name, "is neither a number nor a name as GPU-8932f937 (nvidia-smi -L says them)");
  }
  const auto is_meant = [&](const std::string& id) { return absl::StartsWith(id, name); };
  const auto found = std::find_if(ids.begin(), ids.end(), is_meant);
  if (found == ids.end()) {
    return NotNamed(name,
                    "is not among the GPUs that CUDA lists: is it lost, or hidden by CUDA_VISIBLE_DEVICES?");
  }
  if (std::any_of(found + 1, ids.end(), is_meant))
    return NotNamed(name, "could be several GPUs: give more of it");
  return static_cast<int>(found - ids.begin());
}

}  // namespace

absl::StatusOr<std::vector<int>> NamedGpus(const std::vector<std::string>& ids, absl::string_view list) {
  std::vector<int> named;
  if (list.empty()) {
    named.resize(ids.size());
    std::iota(named.begin(), named.end(), 0);
    return named;
  }
  for (const absl::string_view part : absl::StrSplit(list, ',')) {
    const absl::string_view name = absl::StripAsciiWhitespace(part);
    QUIRE_ASSIGN_OR_RETURN(const int index, NamedGpu(ids, name));
    if (std::find(named.begin(), named.end(), index) != named.end()) {
      return NotNamed(name, "is named twice: a rank has a GPU of its own");
    }
    named.push_back(index);
  }
  return named;
}

}  // namespace quire::kernels
