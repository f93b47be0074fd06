// Any bytes as a safetensors file: an error or tensors that lie inside the input, never a crash.
#include <cstdlib>

#include "worker/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = quire::worker::ParseSafetensors({data, size});
  if (!tensors.ok()) return 0;
  for (const auto& [name, tensor] : *tensors) {
    if (tensor.bytes.empty()) continue;
    if (tensor.bytes.data() < data || tensor.bytes.data() + tensor.bytes.size() > data + size) std::abort();
  }
  return 0;
}
