# CUDA in the build: where nvcc 13.0 or later is, and how targets are made by it. The root reads this before any folder.
set(QUIRE_CUDA AUTO CACHE STRING "CUDA's library and programs: ON, OFF, or AUTO (where nvcc 13.0 or later is)")
set_property(CACHE QUIRE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(QUIRE_CUDA_GPUS "80-real;90a-real;100-real" CACHE STRING "What CUDA code is made for")

# quire_why_nvcc_fails(RESULT NVCC): the first line of what is wrong where NVCC, or the g++ that it takes, makes no program; or "".
function(quire_why_nvcc_fails RESULT NVCC)
  set(file ${CMAKE_BINARY_DIR}/CMakeFiles/quire_nvcc)
  file(WRITE ${file}.cu "int main() {}\n")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CUDA_FLAGS} $ENV{CUDAFLAGS}")
  set(hosts ${CMAKE_CUDA_HOST_COMPILER} $ENV{CUDAHOSTCXX})
  if(hosts)
    list(GET hosts 0 host)
    list(APPEND flags -ccbin ${host})
  endif()
  execute_process(COMMAND ${NVCC} ${flags} -o ${file} ${file}.cu OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE code)
  string(REGEX MATCH "[^\n]*([Ee]rror:|fatal|cannot find|not found)[^\n]*" why "${said}")
  if(code EQUAL 0)
    set(why "")
  elseif("${why}" STREQUAL "")
    set(why "exit ${code}")
  endif()
  set(${RESULT} "${why}" PARENT_SCOPE)
endfunction()

# quire_find_nvcc(): sets nvcc to the first that is new enough and compiles, of the one named (CMAKE_CUDA_COMPILER, CUDACXX), of
# PATH, of CUDA's own folder, and of scripts/setup --cuda where that came to its end, and passed_over to what is wrong with those
# before it; or `missing`, where there is none. The choice is kept: it is not tried again, and CMake's own record of the one
# before, with which it would go on, is dropped.
function(quire_find_nvcc)
  string(REPLACE ":" ";" places "$ENV{PATH}")
  list(APPEND places /usr/local/cuda/bin)
  list(TRANSFORM places APPEND /nvcc)
  if(EXISTS ${PROJECT_SOURCE_DIR}/.cuda/.requirements.sha256)
    file(GLOB installed ${PROJECT_SOURCE_DIR}/.cuda/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  endif()
  set(wrong "")
  foreach(at ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX} ${places} ${installed})
    set(said)
    execute_process(COMMAND ${at} --version OUTPUT_VARIABLE said ERROR_QUIET RESULT_VARIABLE code)
    if(NOT code EQUAL 0 OR NOT said MATCHES "release ([0-9.]+)[^\n]*")
      continue()
    endif()
    set(found "${at}, ${CMAKE_MATCH_0}")
    set(why "")
    if(CMAKE_MATCH_1 VERSION_LESS 13.0)
      set(why "older than 13.0")
    elseif(NOT found STREQUAL QUIRE_NVCC)
      quire_why_nvcc_fails(why ${at})
    endif()
    if("${why}" STREQUAL "")
      if(NOT found STREQUAL QUIRE_NVCC)
        file(REMOVE ${CMAKE_BINARY_DIR}/CMakeFiles/${CMAKE_VERSION}/CMakeCUDACompiler.cmake)
        unset(CMAKE_CUDA_ARCHITECTURES CACHE)
        set(QUIRE_NVCC "${found}" CACHE INTERNAL "The nvcc that was chosen, and its release")
      endif()
      set(nvcc ${at} PARENT_SCOPE)
      set(passed_over "${wrong}" PARENT_SCOPE)
      return()
    endif()
    string(APPEND wrong ". ${found}: ${why}")
  endforeach()
  unset(QUIRE_NVCC CACHE)
  set(missing "no nvcc 13.0 or later that compiles is on PATH, in /usr/local/cuda or in .cuda, where scripts/setup --cuda installs one${wrong}"
    PARENT_SCOPE)
endfunction()

set(missing)
if(QUIRE_CUDA)  # AUTO and ON
  quire_find_nvcc()
else()
  set(missing "QUIRE_CUDA is ${QUIRE_CUDA}")
endif()
set(QUIRE_CUDA_MISSING "${missing}" CACHE INTERNAL "Why there is no CUDA in this build; scripts/test says it")
if(missing)
  if(QUIRE_CUDA AND NOT QUIRE_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "QUIRE_CUDA is ${QUIRE_CUDA}, and ${missing}. Without CUDA: -DQUIRE_CUDA=OFF")
  endif()
  message(STATUS "CUDA is not built: ${missing}")
  file(REMOVE ${CMAKE_BINARY_DIR}/bin/libquire-cuda.so)  # of an nvcc before: a worker of later code would not take it
  add_custom_target(cuda COMMAND ${CMAKE_COMMAND} -E echo "CUDA is not built: ${missing}" COMMAND false VERBATIM)
  set(QUIRE_CUDA OFF)  # for the folders
  return()
endif()
message(STATUS "CUDA is built by ${QUIRE_NVCC}${passed_over}")
set(CMAKE_CUDA_COMPILER ${nvcc})
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # CMake 3.25 does not know C++20 for CUDA
set(CMAKE_CUDA_STANDARD 20)
if(CCACHE)
  # By what a compilation read: by what the preprocessor makes of it for the host, a change in code for a GPU alone is none.
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1 ${CCACHE})
endif()
add_custom_target(cuda COMMENT "All of CUDA is built")

# quire_cuda(NAME name CUDA a.cc ... [SRCS b.cc ...] [DEPS lib ...] [MODULE]): a program for a machine that has a driver and
# nothing else of ours, built by the target `cuda`; or a library that programs open, built by all. CUDA's sources are nvcc's:
# one by one, or all at once in a unity build (kernels in headers are compiled once, not by each source), but for .cu files.
function(quire_cuda)
  cmake_parse_arguments(A "MODULE" "NAME" "CUDA;SRCS;DEPS" ${ARGN})
  set(sources ${A_CUDA})
  if(CMAKE_UNITY_BUILD)
    list(TRANSFORM A_CUDA REPLACE "(.+)" "#include \"${CMAKE_CURRENT_SOURCE_DIR}/\\1\"\n" OUTPUT_VARIABLE text)
    list(JOIN text "" text)
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/${A_NAME}.cu)
    file(CONFIGURE OUTPUT ${sources} CONTENT "${text}" @ONLY)
  endif()
  set_source_files_properties(${sources} PROPERTIES LANGUAGE CUDA)
  if(A_MODULE)
    add_library(${A_NAME} MODULE ${sources} ${A_SRCS})
    set_target_properties(${A_NAME} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  else()
    add_executable(${A_NAME} EXCLUDE_FROM_ALL ${sources} ${A_SRCS})
    target_link_options(${A_NAME} PRIVATE -static-libstdc++ -static-libgcc)
    target_compile_definitions(${A_NAME} PRIVATE "QUIRE_PROGRAM=\"${A_NAME} ${PROJECT_VERSION}\"")
  endif()
  add_dependencies(cuda ${A_NAME})
  set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin CUDA_RUNTIME_LIBRARY Static UNITY_BUILD OFF
    CUDA_ARCHITECTURES "${QUIRE_CUDA_GPUS}")
  target_include_directories(${A_NAME} PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  # -fmad=false: sums keep one order and one rounding on every path; kernels say Fma where they mean it.
  # --expt-relaxed-constexpr: rules that host and device share are constexpr.
  # 2810: nvcc takes the assignment of an absl::Status for a value that is dropped.
  target_compile_options(${A_NAME} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr -Xptxas=-warn-spills -diag-suppress=2810>)
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS} ${CMAKE_DL_LIBS})
endfunction()

# quire_archives(RESULT module ...): Abseil as archives, for programs that go where none of our packages is.
function(quire_archives RESULT)
  pkg_check_modules(ARCHIVED REQUIRED ${ARGN})
  list(TRANSFORM ARCHIVED_STATIC_LIBRARIES REPLACE "^(absl_.*)$" "-l:lib\\1.a" OUTPUT_VARIABLE archives)
  set(${RESULT} -Wl,--start-group ${archives} -Wl,--end-group PARENT_SCOPE)
endfunction()
