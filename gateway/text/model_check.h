// What `quire-gateway --check DIR` does: loads the text files of a checkpoint's folder as a gateway would,
// and renders a short conversation, so that a bad tokenizer or template is refused where the operator looks.
// Called once, on main's thread. Always: the message names the file and what is wrong in it.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quire::gateway {

absl::Status CheckModelFolder(const std::string& folder);

}  // namespace quire::gateway
