#include "tests/golden/generated_checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/bf16.h"

namespace quire::golden {
namespace {

using Values = std::array<uint16_t, 256>;

uint32_t SeedOf(const std::string& name) {
  uint32_t seed = 0x811C9DC5;
  for (const char c : name) seed = (seed ^ static_cast<uint8_t>(c)) * 0x01000193;
  return seed;
}

Values ValuesOf(std::optional<int> exponent) {
  Values values;
  for (int u = 0; u < 256; ++u) {
    const float value = exponent ? std::ldexp(static_cast<float>(2 * u - 255), -*exponent)
                                 : static_cast<float>(96 + u / 4) / 128.0f;
    values[u] = kernels::FloatToBf16(value);
  }
  return values;
}

uint32_t HashOf(uint32_t seed, uint32_t place) {
  uint32_t x = place * 0x9E3779B1 + seed;
  x = (x ^ (x >> 16)) * 0x7FEB352D;
  x = (x ^ (x >> 15)) * 0x846CA68B;
  return x ^ (x >> 16);
}

int64_t CountOf(const GeneratedTensor& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  return count;
}

std::string HeaderOf(std::span<const GeneratedTensor> tensors) {
  nlohmann::ordered_json header;
  int64_t offset = 0;
  for (const GeneratedTensor& tensor : tensors) {
    const int64_t end = offset + 2 * CountOf(tensor);
    header[tensor.name] = {{"dtype", "BF16"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the values are aligned, and are not copied
  return text;
}

absl::Status Failed(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GeneratedCheckpoint>> GeneratedCheckpoint::Write(
    const std::string& config_json, std::span<const GeneratedTensor> tensors) {
  std::string pattern = std::filesystem::temp_directory_path() / "quire_generated_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return Failed(pattern);
  auto checkpoint = std::unique_ptr<GeneratedCheckpoint>(new GeneratedCheckpoint(pattern));
  std::ofstream(pattern + "/config.json") << config_json;
  const std::string path = pattern + "/weights";
  checkpoint->file_ = Fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!checkpoint->file_.valid()) return Failed(path);
  std::filesystem::create_symlink(absl::StrCat("/proc/self/fd/", checkpoint->file_.get()),
                                  pattern + "/model.safetensors");
  std::filesystem::remove(path);
  const std::string header = HeaderOf(tensors);
  const uint64_t header_bytes = header.size();
  QUIRE_RETURN_IF_ERROR(checkpoint->Append(&header_bytes, sizeof(header_bytes)));
  QUIRE_RETURN_IF_ERROR(checkpoint->Append(header.data(), header.size()));
  for (const GeneratedTensor& tensor : tensors) {
    QUIRE_RETURN_IF_ERROR(checkpoint->WriteTensor(tensor));
  }
  return checkpoint;
}

GeneratedCheckpoint::~GeneratedCheckpoint() { std::filesystem::remove_all(dir_); }

absl::Status GeneratedCheckpoint::WriteTensor(const GeneratedTensor& tensor) {
  constexpr int64_t kChunk = 1 << 20;
  const Values values = ValuesOf(tensor.exponent);
  const uint32_t seed = SeedOf(tensor.name);
  const int64_t count = CountOf(tensor);
  std::vector<uint16_t> chunk;
  uint64_t sum = 0;
  for (int64_t first = 0; first < count; first += kChunk) {
    chunk.resize(std::min(kChunk, count - first));
    for (size_t i = 0; i < chunk.size(); ++i) {
      chunk[i] = values[HashOf(seed, static_cast<uint32_t>(first + i)) >> 24];
      sum += chunk[i] * (static_cast<uint64_t>(first) + i + 1);
    }
    QUIRE_RETURN_IF_ERROR(Append(chunk.data(), chunk.size() * sizeof(uint16_t)));
  }
  if (sum == tensor.sum) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(tensor.name, " is not what generated_models.py makes: its sum is ", sum));
}

absl::Status GeneratedCheckpoint::Append(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = write(file_.get(), next, bytes);
    if (written <= 0) return Failed("can't write generated weights to the folder of temporary files");
    next += written;
    bytes -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

}  // namespace quire::golden
