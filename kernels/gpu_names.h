// How people and programs name GPUs: --gpus. A number is of those that CUDA lists, which CUDA_VISIBLE_DEVICES
// leaves and counts anew from 0; GPU-8932f937-... is a GPU's own name, which another order, or another one's
// loss, doesn't give to its neighbour. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire::kernels {

// The numbers of those that `list` names, in its order ("2,3", "GPU-8932,GPU-5f"; a name may be cut short);
// "" names all. `ids`: the own name of each. FailedPrecondition: what is named is not there, is named twice,
// or could be several.
absl::StatusOr<std::vector<int>> NamedGpus(const std::vector<std::string>& ids, absl::string_view list);

}  // namespace quire::kernels
