// In place of nccl_library.cu where a library was built without NCCL's header.
#include "kernels/cuda/collective/nccl_library.h"

namespace quire::kernels::cuda {

NcclCalls OpenNcclLibrary() {
  NcclCalls calls;
  calls.missing = "this build knows no NCCL: nccl.h was not there when libquire-cuda.so was made";
  return calls;
}

}  // namespace quire::kernels::cuda
