// The file of lt_cache.h in a folder that all ranks and workers of a host may share, one for each kind of
// GPU, driver and library. Whatever is wrong with it costs the time of choosing anew and a line of the log,
// never a start. Of several processes that would write at once one does, by a lock on a file beside it, and
// keeps what the others chose before; the rest go on without. The thread that starts the rank.
#pragma once

#include <string>

#include "kernels/cuda/lt/lt_cache.h"

namespace quire::kernels::cuda {

// With a file in that folder, where one is named; what is chosen, how far that is, and what there is no
// algorithm for stand in the log.
LtChoicesOptions LoggedChoices(const std::string& folder, LtCacheKey key);

class LtCacheFile {
 public:
  // The folder is made, where there is none, when something is kept.
  LtCacheFile(std::string folder, LtCacheKey key);

  const std::string& path() const { return path_; }
  // What is in it; nothing where it is not there, or is not to be trusted.
  LtKept Load() const;
  // Adds these, in place of what it has of their shapes.
  void Store(const LtKept& kept) const;

 private:
  absl::Status TryStore(const LtKept& kept) const;

  const std::string folder_;
  const LtCacheKey key_;
  const std::string path_;
};

}  // namespace quire::kernels::cuda
