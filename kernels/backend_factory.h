// The one place that chooses an implementation of Backend, and the Communicator with it. Called by a
// program's composition root, once per rank, before the engine thread starts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "kernels/rendezvous.h"

namespace quire::kernels {

struct BackendOptions {
  std::string device = "cpu";  // DeviceChoice's name
  int threads = 1;             // compute threads, the calling one included
  int spin_us = 0;             // how long an idle compute thread spins before it sleeps; 0: never spins
  // auto, avx2, avx512 or amx. avx2 and avx512 give the same bits, amx its own family's (Backend::family).
  // vectors: the better of those two; amx-twin: amx's bits on any CPU, slowly, to compare with.
  std::string isa = "auto";
  // Which of a host's GPUs, and how many ranks of the group share it (in tests).
  int gpu = 0, gpu_ranks = 1;
  bool apart = false;             // as if no GPU reached another's memory (in tests)
  std::string matmul_cache = "";  // a folder for what a GPU's library chose; "": nothing is kept
};

// What a backend takes of its device's own memory beside weights, blocks and a decoder's tensors, and what of
// the host's.
struct DeviceScratch {
  int64_t fixed_bytes = 0;
  int64_t token_bytes_per_ffn = 0;  // of each token, for each column of a gate
  int64_t bytes_per_hidden = 0;     // for each column of the residual stream
  // Where ranks may exchange by a library: of a group of several, and for each doubling of them.
  int64_t group_bytes = 0, group_bytes_per_doubling = 0;
  // Of each row that is sampled, and for each of its runs of ids (kernels/sampling/row_scans.h).
  int64_t row_bytes = 0, row_bytes_per_run = 0;
  int64_t host_fixed_bytes = 0, host_row_bytes = 0, host_row_bytes_per_run = 0;
  // Of each token of a step, each sequence, and each block of a sequence's table.
  int64_t host_token_bytes = 0, host_sequence_bytes = 0, host_block_bytes = 0;
};

// What a rank computes on, found before anything is loaded.
struct DeviceChoice {
  std::string name = "cpu";  // cpu or cuda
  std::string reason;        // for people: which device it is, and why
  // Of its own, in all and what nobody has taken; 0: it has the host's.
  int64_t memory_bytes = 0, free_bytes = 0;
  DeviceScratch scratch;
  // Of a GPU: its number among those that CUDA lists, what it is called wherever and whenever that is asked,
  // and what it is. Ranks of a group have one architecture.
  int index = 0;
  std::string id, product, architecture;
  std::string why_not;  // of ListGpus: it is there and can't be used
};

struct DeviceDemand {
  std::string backend = "cpu";  // auto, cpu or cuda
  std::string weights = "bf16";
  std::string gpus = {};  // the group's, by rank (gpu_names.h); empty: the first that there are
  int64_t rank_here = 0, ranks_here = 1;                 // of the group's ranks on this host
  int64_t host_groups = 1;                               // that share the host
  int64_t hidden = 0, ffn = 0, head_dim = 0, vocab = 0;  // of the model
};

// Of one rank. auto is the GPU where there is one for each rank that can be used and that serves such a
// group: in bf16, so far, of a model whose sizes have kernels, and on GPUs that are named where groups share
// a host. InvalidArgument for another name, or --gpus without a GPU; FailedPrecondition where a GPU that was
// asked for is not there or does not serve it, or its library (libquire-cuda.so, beside the program) does not
// fit.
absl::StatusOr<DeviceChoice> ChooseDevice(const DeviceDemand& demand);

// All GPUs that groups of such a model may have: those that `demand.gpus` names, else every one that CUDA
// lists. Looking at one takes memory of it for as long as this process lives. Unavailable or NotFound: there
// is none.
absl::StatusOr<std::vector<DeviceChoice>> ListGpus(const DeviceDemand& demand);

// What stands for the GPU that there isn't: the CPU, where auto left that to us; else the error.
absl::StatusOr<DeviceChoice> WithoutGpu(const std::string& backend, const absl::Status& why);

// What `isa` comes to for weights in this format (bf16, int8): auto is `vectors` for int8, so that its
// answers are one family on every machine; what stays in bf16 is for AMX only where that is asked for.
std::string IsaFor(const std::string& weights, const std::string& isa);

// Of the CPU. InvalidArgument for an unknown name or an impossible number, FailedPrecondition for what this
// machine lacks; the message says which and why.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options);

// A rank's device: where it computes, and how its tensors cross to the other ranks. Made together, since a
// device that exchanges by itself shares its stream and memory with its communicator. The backend goes first:
// its graphs hold calls of the communicator.
struct Device {
  std::unique_ptr<Communicator> communicator;
  std::unique_ptr<Backend> backend;
};

// All ranks of the group call it, at the same point. The group of `rendezvous` outlives the device.
absl::StatusOr<Device> MakeDevice(const BackendOptions& options, Rendezvous& rendezvous);

}  // namespace quire::kernels
