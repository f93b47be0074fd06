// The limit of open descriptors of this process. A server holds one or two per connection, and shells give
// 1,024 by default where the system allows many more. Called by a program's main before it opens anything.
#pragma once

#include <cstdint>

namespace quire {

// Raises the limit as far as it goes without privileges; returns what it is then.
int64_t RaiseDescriptorLimit();

}  // namespace quire
