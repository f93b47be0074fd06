#include "kernels/cuda/collective/nccl_library.h"

#include <nccl.h>

#include <cstdlib>
#include <cstring>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/open_library.h"

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

// "", or the first that it lacks.
std::string ResolveAll(void* library, Functions* f) {
  const char* lacks = "";
  const auto has = [&](const char* name, auto* function) {
    lacks = name;
    return ResolveFunction(library, name, function);
  };
  const bool complete = has("ncclGetVersion", &f->version) && has("ncclGetUniqueId", &f->make_id) &&
                        has("ncclCommInitRankConfig", &f->init) &&
                        has("ncclCommGetAsyncError", &f->ask_state) && has("ncclCommAbort", &f->abort_comm) &&
                        has("ncclGroupStart", &f->begin_group) && has("ncclGroupEnd", &f->end_group) &&
                        has("ncclAllGather", &f->all_gather) && has("ncclSend", &f->send) &&
                        has("ncclRecv", &f->receive) && has("ncclGetErrorString", &f->error_string) &&
                        has("ncclGetLastError", &f->last_error);
  return complete ? "" : lacks;
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
    config.maxCTAs = kNcclChannels;
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
  Functions functions = {};
  std::string where;
  const auto resolve = [&](void* library) { return ResolveAll(library, &functions); };
  if (OpenLibrary(kCandidates, resolve, &where) == nullptr) {
    calls.missing = "NCCL (libnccl.so.2) is not to be had: " + where;
    return calls;
  }
  const ncclResult_t result = functions.version(&calls.version);
  if (result != ncclSuccess) {
    calls.missing = std::string("NCCL does not say its version: ") + functions.error_string(result);
    return calls;
  }
  const char* blocking = std::getenv("NCCL_COMM_BLOCKING");
  if (blocking != nullptr) calls.comm_blocking = blocking;
  FillLife(functions, &calls);
  FillExchange(functions, &calls);
  return calls;
}

}  // namespace quire::kernels::cuda
