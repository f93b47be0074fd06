// gunzip with a bound on what comes out, for gzip request bodies. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire::http {

// InvalidArgument: not one or several whole gzip members. ResourceExhausted: more than max_bytes would come out.
absl::StatusOr<std::string> Gunzip(std::string_view compressed, size_t max_bytes);

}  // namespace quire::http
