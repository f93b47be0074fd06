// Which Quire this is: the version of the CMake project, and the commit where it was built from a git
// checkout
// ("0.1.0 (1a2b3c4)"). Defined in a file that base/core/write_version.cmake writes at every build; only
// programs link it. Any thread.
#pragma once

namespace quire {

const char* Version();

}  // namespace quire
