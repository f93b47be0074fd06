// What a model may be called: a name that clients write into JSON and that stands in messages, files and
// logs. Pure, any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace quire {

// InvalidArgument: it is empty, longer than 256 bytes, no UTF-8, or holds what JSON has to escape (control
// characters, quotes, backslashes).
absl::Status CheckModelName(std::string_view name);

}  // namespace quire
