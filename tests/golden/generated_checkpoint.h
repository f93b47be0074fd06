// A checkpoint of generated weights in a temporary folder: each value is a function of its tensor's name and
// its place, as generated_models.py says, which makes the same bits. The file has no name (a symbolic link in
// the folder leads to its descriptor), so that a test that dies leaves no gigabytes behind. Owned by one
// test; the folder can be opened as long as this object lives, by this process alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/fd.h"

namespace quire::golden {

struct GeneratedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::optional<int> exponent;  // none: a norm
  uint64_t sum = 0;             // of its bits, each times its place from 1: what the recorder's were
};

class GeneratedCheckpoint {
 public:
  // DataLoss where a tensor's sum is another one: the two generators differ.
  static absl::StatusOr<std::unique_ptr<GeneratedCheckpoint>> Write(const std::string& config_json,
                                                                    std::span<const GeneratedTensor> tensors);
  ~GeneratedCheckpoint();
  GeneratedCheckpoint(const GeneratedCheckpoint&) = delete;
  GeneratedCheckpoint& operator=(const GeneratedCheckpoint&) = delete;

  const std::string& dir() const { return dir_; }

 private:
  explicit GeneratedCheckpoint(std::string dir) : dir_(std::move(dir)) {}
  absl::Status WriteTensor(const GeneratedTensor& tensor);
  absl::Status Append(const void* data, size_t bytes);

  const std::string dir_;
  Fd file_;
};

}  // namespace quire::golden
