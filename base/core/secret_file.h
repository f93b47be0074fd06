// A secret in a file of its own, as the coordinator makes it in its data folder (pepper, worker_secret): 64
// lowercase hex digits and nothing else, so that one which was cut, or that an editor ended with a newline,
// is noticed where it is read and not in whoever uses it. Plain functions, any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace quire {

std::string MakeSecret();

// NotFound: there is no such file. FailedPrecondition: it is damaged; Unavailable: it can't be read. Their
// messages name the file and say why; what to do instead is `otherwise`'s.
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const std::string& otherwise);

}  // namespace quire
