# cmake -D ROOT=... -D VERSION=... -D OUT=version.cc -P write_version.cmake: run at every build, writes OUT only where the
# commit has changed, so that a build of the same commit compiles nothing.
set(text ${VERSION})
if(EXISTS ${ROOT}/.git)
  execute_process(COMMAND git -C ${ROOT} describe --always --tags
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(text "${VERSION} (${commit})")
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
#include "base/core/version.h"

namespace quire {

const char* Version() { return "@text@"; }

}  // namespace quire
]] @ONLY)
