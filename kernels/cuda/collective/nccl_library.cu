#include "kernels/cuda/collective/nccl_library.h"

#include <dlfcn.h>
#include <nccl.h>

#include <cstring>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {
namespace {

static_assert(kNcclDone == ncclSuccess && kNcclInProgress == ncclInProgress);

constexpr const char* kCandidates[] = {
    "libnccl.so.2",
    "/usr/local/cuda/lib64/libnccl.so.2",
    "/usr/local/cuda/lib/libnccl.so.2",
};

// Of the library, by their names there.
struct Functions {
  decltype(&ncclGetVersion) version;
  decltype(&ncclGetUniqueId) make_id;
  decltype(&ncclCommInitRankConfig) init;
  decltype(&ncclCommGetAsyncError) ask_state;
  decltype(&ncclCommAbort) abort_comm;
  decltype(&ncclGroupStart) begin_group;
  decltype(&ncclGroupEnd) end_group;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
};

template <typename Function>
bool Resolve(void* library, const char* name, Function* function, std::string* missing) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function == nullptr) *missing = std::string("libnccl.so.2 lacks ") + name;
  return *function != nullptr;
}

bool ResolveAll(void* library, Functions* f, std::string* missing) {
  return Resolve(library, "ncclGetVersion", &f->version, missing) &&
         Resolve(library, "ncclGetUniqueId", &f->make_id, missing) &&
         Resolve(library, "ncclCommInitRankConfig", &f->init, missing) &&
         Resolve(library, "ncclCommGetAsyncError", &f->ask_state, missing) &&
         Resolve(library, "ncclCommAbort", &f->abort_comm, missing) &&
         Resolve(library, "ncclGroupStart", &f->begin_group, missing) &&
         Resolve(library, "ncclGroupEnd", &f->end_group, missing) &&
         Resolve(library, "ncclAllGather", &f->all_gather, missing) &&
         Resolve(library, "ncclSend", &f->send, missing) &&
         Resolve(library, "ncclRecv", &f->receive, missing) &&
         Resolve(library, "ncclGetErrorString", &f->error_string, missing) &&
         Resolve(library, "ncclGetLastError", &f->last_error, missing);
}

ncclComm_t Of(void* comm) { return static_cast<ncclComm_t>(comm); }
size_t Count(int64_t bytes) { return static_cast<size_t>(bytes); }

void FillLife(const Functions& f, NcclCalls* calls) {
  calls->make_id = [f](std::string* id) {
    ncclUniqueId made;
    const int result = f.make_id(&made);
    id->assign(made.internal, sizeof made.internal);
    return result;
  };
  calls->init = [f](int ranks, int rank, const std::string& id, void** comm) -> int {
    ncclUniqueId unique = {};
    if (id.size() != sizeof unique.internal) return ncclInvalidArgument;
    std::memcpy(unique.internal, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t made = nullptr;
    const int result = f.init(&made, ranks, unique, rank, &config);
    *comm = made;
    return result;
  };
  calls->ask_state = [f](void* comm, int* state) -> int {
    ncclResult_t asked = ncclSuccess;
    const int result = f.ask_state(Of(comm), &asked);
    *state = asked;
    return result;
  };
  calls->abort_comm = [f](void* comm) -> int { return f.abort_comm(Of(comm)); };
  calls->words = [f](void* comm, int result) {
    std::string words = f.error_string(static_cast<ncclResult_t>(result));
    const char* last = f.last_error(Of(comm));
    if (last != nullptr && *last != '\0') words += std::string("; ") + last;
    return words;
  };
}

void FillExchange(const Functions& f, NcclCalls* calls) {
  calls->begin_group = [f]() -> int { return f.begin_group(); };
  calls->end_group = [f]() -> int { return f.end_group(); };
  calls->all_gather = [f](const void* mine, void* all, int64_t bytes, void* comm, Stream& stream) -> int {
    return f.all_gather(mine, all, Count(bytes), ncclUint8, Of(comm), stream.handle());
  };
  calls->send = [f](const void* from, int64_t bytes, int to_rank, void* comm, Stream& stream) -> int {
    return f.send(from, Count(bytes), ncclUint8, to_rank, Of(comm), stream.handle());
  };
  calls->receive = [f](void* to, int64_t bytes, int from_rank, void* comm, Stream& stream) -> int {
    return f.receive(to, Count(bytes), ncclUint8, from_rank, Of(comm), stream.handle());
  };
}

}  // namespace

NcclCalls OpenNcclLibrary() {
  NcclCalls calls;
  void* library = nullptr;
  std::string where;
  for (const char* candidate : kCandidates) {
    library = dlopen(candidate, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    const char* error = dlerror();
    where += std::string(error == nullptr ? candidate : error) + "; ";
  }
  Functions functions = {};
  if (library == nullptr) {
    calls.missing = "NCCL (libnccl.so.2) is not to be had: " + where;
  } else if (ResolveAll(library, &functions, &calls.missing)) {
    if (functions.version(&calls.version) != ncclSuccess) calls.version = 0;
    FillLife(functions, &calls);
    FillExchange(functions, &calls);
  }
  return calls;
}

}  // namespace quire::kernels::cuda
