// --version of the programs for machines that have a driver and nothing else of ours. Each main calls it
// first. QUIRE_PROGRAM is the program's name and version (kernels/cuda/toolkit.cmake).
#pragma once

#include <cstdio>
#include <cstring>

namespace quire::kernels::cuda {

// Whether that was asked for, and said.
inline bool SaidVersion(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "--version") != 0) return false;
  (void)std::puts(QUIRE_PROGRAM);
  return true;
}

}  // namespace quire::kernels::cuda
