// The one place that chooses an implementation of Backend, and the Communicator with it. Called by a
// program's composition root, once per rank, before the engine thread starts.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/communicator.h"
#include "kernels/rendezvous.h"

namespace quire::kernels {

struct BackendOptions {
  std::string device = "auto";  // auto or cpu
  int threads = 1;              // compute threads, the calling one included
  int spin_us = 0;              // how long an idle compute thread spins before it sleeps; 0: never spins
  // auto, avx2, avx512 or amx. avx2 and avx512 give the same bits, amx its own family's (Backend::family).
  // vectors: the better of those two; amx-twin: amx's bits on any CPU, slowly, to compare with.
  std::string isa = "auto";
};

// What `isa` comes to for weights in this format (bf16, int8): auto is `vectors` for int8, so that its
// answers are one family on every machine; what stays in bf16 is for AMX only where that is asked for.
std::string IsaFor(const std::string& weights, const std::string& isa);

// InvalidArgument for an unknown name or an impossible number, FailedPrecondition for what this machine
// lacks; the message says which and why.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options);

// A rank's device: where it computes, and how its tensors cross to the other ranks. Made together, since a
// device that exchanges by itself shares its stream and memory with its communicator.
struct Device {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> communicator;
};

// All ranks of the group call it, at the same point. The group of `rendezvous` outlives the device.
absl::StatusOr<Device> MakeDevice(const BackendOptions& options, Rendezvous& rendezvous);

}  // namespace quire::kernels
