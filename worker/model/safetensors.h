// A checkpoint's safetensors files, memory-mapped: model.safetensors, or the shards that
// model.safetensors.index.json names. Every header field is checked against the file before a byte of a
// tensor is touched: a wrong file is an error that says where, never a read outside the map. Immutable after
// Open; views live as long as the Safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/hash.h"

namespace quire::worker {

enum class StoredType : uint8_t {
  kBf16,
  kF16,
  kF32,
  kOther
};  // kOther: known to the format, not usable as a weight

// Of those that can be weights.
constexpr int64_t ElementBytes(StoredType type) { return type == StoredType::kF32 ? 4 : 2; }

struct StoredTensor {
  StoredType type = StoredType::kOther;
  std::vector<int64_t> shape;
  std::span<const uint8_t> bytes;  // row-major, little-endian, perhaps unaligned
};

// Ordered by name; "less<>" for lookups by string_view.
using StoredTensors = std::map<std::string, StoredTensor, std::less<>>;

// The tensors of one file's bytes. The fuzz target's door.
absl::StatusOr<StoredTensors> ParseSafetensors(std::span<const uint8_t> file);

class Safetensors {
 public:
  static absl::StatusOr<std::unique_ptr<const Safetensors>> Open(const std::string& model_dir);
  ~Safetensors();

  // NotFound names the tensor.
  absl::StatusOr<StoredTensor> Find(std::string_view name) const;
  const StoredTensors& tensors() const { return tensors_; }

  // Of every tensor's name, type and shape and of 3 x 64 of its bytes (start, middle, end): tells checkpoints
  // apart without reading them whole. It does not prove that they are equal.
  Digest SampleDigest() const;

 private:
  class MappedFile;
  explicit Safetensors(std::string model_dir);
  absl::StatusOr<StoredTensors> MapFile(const std::string& name);
  absl::Status AddShards(const std::string& index_json);

  const std::string model_dir_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  StoredTensors tensors_;
};

}  // namespace quire::worker
