// Device memory that the ranks of one host share, on fibers: see device.h, which alone includes this. It is a
// file without a name, which other processes map through /proc; threads of this one use its address. Errors
// stand in the Stream. It is never unmapped, as on a GPU.
#pragma once

#include <cstddef>
#include <string>

#include "base/core/fd.h"
#include "kernels/cuda/device/device_fiber.h"

namespace quire::kernels::cuda {

class PeerMemory {
 public:
  PeerMemory(Stream& stream, size_t bytes);
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;
  std::byte* data() const { return data_; }
  const std::string& handle() const { return handle_; }

 private:
  std::byte* data_ = nullptr;
  Fd file_;
  std::string handle_;
};

class PeerView {
 public:
  PeerView(Stream& stream, const std::string& handle, size_t bytes);
  ~PeerView();
  PeerView(const PeerView&) = delete;
  PeerView& operator=(const PeerView&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  size_t mapped_bytes_ = 0;  // by this view
};

}  // namespace quire::kernels::cuda
