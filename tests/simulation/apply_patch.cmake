# Makes COPY: SOURCE with PATCH applied. If the patch no longer applies, COPY is a source that says so when it is run, so that
# the build goes on and the test of this planted bug fails.
configure_file(${SOURCE} ${COPY} COPYONLY)
execute_process(COMMAND patch --quiet --force --no-backup-if-mismatch --reject-file=- ${COPY} ${PATCH}
                RESULT_VARIABLE code OUTPUT_QUIET)
if(NOT code EQUAL 0)
  file(WRITE ${COPY} "#include <cstdio>\n#include <cstdlib>\n"
    "static const bool stale = (std::puts(\"${PATCH} no longer applies: make it anew\"), std::fflush(stdout), "
    "std::_Exit(1), true);\n")
endif()
