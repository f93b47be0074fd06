// The places on disk that `quire serve` is given: the data folder and the ready file. They are looked at
// before anything is started, and what is there keeps its mode. Plain functions; the launcher's one thread.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quire::cli {

// FailedPrecondition: it holds something, and nothing that says that it is a data folder of ours.
absl::Status CheckDataFolder(const std::string& data);
// FailedPrecondition: a coordinator has it.
absl::Status CheckNobodyHas(const std::string& data);
// Whether there is room to begin with, and leave: tried with a file that loses its name at once. Unavailable
// says why not.
absl::Status CheckWritable(const std::string& folder);

// Whether the ready file can be written later on. Empty: none is wanted.
absl::Status CheckReadyFile(const std::string& path);
// Nobody is to take a former run's file for ours.
void RemoveReadyFile(const std::string& path);

}  // namespace quire::cli
