// Device memory that the ranks of one host share, as CUDA: see device.h, which alone includes this. Another
// process opens it by an IPC handle, another thread of this one by its address. Errors stand in the Stream.
// It is never freed: others may have it mapped as long as they live, and the driver frees it with this
// process.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "kernels/cuda/device/device_cuda.h"
#include "kernels/cuda/device/this_process.h"

namespace quire::kernels::cuda {

struct PeerMemoryName {
  ProcessName process;
  int device = 0;
  void* address = nullptr;  // within that process
  cudaIpcMemHandle_t handle = {};
};

class PeerMemory {
 public:
  PeerMemory(Stream& stream, size_t bytes) : data_(static_cast<std::byte*>(AllocateDevice(stream, bytes))) {
    if (data_ == nullptr) return;
    QueueClear(stream, data_, bytes);
    PeerMemoryName name;
    name.process = ThisProcess();
    name.address = data_;
    stream.Record(cudaGetDevice(&name.device), "asking for the device");
    stream.Record(cudaIpcGetMemHandle(&name.handle, data_), "naming memory for other ranks");
    handle_.assign(reinterpret_cast<const char*>(&name), sizeof name);
  }
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;
  std::byte* data() const { return data_; }
  // By which the other ranks of this host open it.
  const std::string& handle() const { return handle_; }

 private:
  std::byte* data_ = nullptr;
  std::string handle_;
};

class PeerView {
 public:
  // Null, and an error of the stream, where the memory can't be reached from here.
  PeerView(Stream& stream, const std::string& handle, size_t) {
    PeerMemoryName name;
    if (handle.size() == sizeof name) std::memcpy(&name, handle.data(), sizeof name);
    const ProcessName here = ThisProcess();
    if (here == name.process) {
      OpenHere(stream, name);
    } else if (here.SameHost(name.process)) {
      OpenThere(stream, name);
    } else {
      stream.Record(std::string("another rank's memory is on another host, or it has none to share"));
    }
  }
  ~PeerView() {
    if (ours_) (void)cudaIpcCloseMemHandle(data_);
  }
  PeerView(const PeerView&) = delete;
  PeerView& operator=(const PeerView&) = delete;
  std::byte* data() const { return data_; }

 private:
  void OpenThere(Stream& stream, const PeerMemoryName& name) {
    void* opened = nullptr;
    stream.Record(cudaIpcOpenMemHandle(&opened, name.handle, cudaIpcMemLazyEnablePeerAccess),
                  "opening another rank's memory");
    data_ = static_cast<std::byte*>(opened);
    ours_ = data_ != nullptr;
  }
  void OpenHere(Stream& stream, const PeerMemoryName& name) {
    int device = 0;
    stream.Record(cudaGetDevice(&device), "asking for the device");
    if (device != name.device) {
      const cudaError_t error = cudaDeviceEnablePeerAccess(name.device, 0);
      if (error == cudaErrorPeerAccessAlreadyEnabled) {
        (void)cudaGetLastError();
      } else if (error != cudaSuccess) {
        return stream.Record(error, "opening another rank's memory");
      }
    }
    data_ = static_cast<std::byte*>(name.address);
  }

  std::byte* data_ = nullptr;
  bool ours_ = false;
};

}  // namespace quire::kernels::cuda
