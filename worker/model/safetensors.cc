#include "worker/model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/core/files.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 16 << 20;
constexpr int kMaxHeaderDepth = 3;  // {name: {shape: [...]}}
constexpr size_t kMaxDimensions = 8;
constexpr uint64_t kSampleBytes = 64;

absl::Status Broken(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::StatusOr<bool> Exists(const std::string& path) {
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  if (error) return absl::UnavailableError(absl::StrCat("can't look at ", path, ": ", error.message()));
  return exists;
}

struct TypeInfo {
  const char* name;
  uint64_t bytes;
  StoredType type;
};
constexpr TypeInfo kTypes[] = {
    {"BF16", 2, StoredType::kBf16},  {"F16", 2, StoredType::kF16},       {"F32", 4, StoredType::kF32},
    {"F64", 8, StoredType::kOther},  {"I64", 8, StoredType::kOther},     {"U64", 8, StoredType::kOther},
    {"I32", 4, StoredType::kOther},  {"U32", 4, StoredType::kOther},     {"I16", 2, StoredType::kOther},
    {"U16", 2, StoredType::kOther},  {"I8", 1, StoredType::kOther},      {"U8", 1, StoredType::kOther},
    {"BOOL", 1, StoredType::kOther}, {"F8_E4M3", 1, StoredType::kOther}, {"F8_E5M2", 1, StoredType::kOther},
};

const TypeInfo* FindType(const std::string& name) {
  const auto* found = std::ranges::find_if(kTypes, [&](const TypeInfo& info) { return name == info.name; });
  return found == std::end(kTypes) ? nullptr : found;
}

// Non-negative and below 2^63, so that sums of two can't wrap.
bool IsSize(const Json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{INT64_MAX};
}

// The shape and the number of bytes that it needs.
absl::StatusOr<uint64_t> ReadShape(const Json& shape, uint64_t element_bytes, std::vector<int64_t>& out) {
  if (!shape.is_array() || shape.size() > kMaxDimensions) return Broken("shape is not an array of sizes");
  uint64_t bytes = element_bytes;
  for (const Json& size : shape) {
    if (!IsSize(size)) return Broken("shape is not an array of sizes");
    if (__builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes)) return Broken("shape is too large");
    out.push_back(size.get<int64_t>());
  }
  return bytes;
}

absl::StatusOr<StoredTensor> ReadEntry(const Json& entry, std::span<const uint8_t> data) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets") || !entry["dtype"].is_string()) {
    return Broken("it lacks dtype, shape or data_offsets");
  }
  const std::string type_name = entry["dtype"].get<std::string>();
  const TypeInfo* type = FindType(type_name);
  if (type == nullptr) return Broken(absl::StrCat("dtype ", type_name, " is unknown"));
  StoredTensor tensor;
  tensor.type = type->type;
  QUIRE_ASSIGN_OR_RETURN(const uint64_t bytes, ReadShape(entry["shape"], type->bytes, tensor.shape));
  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !IsSize(offsets[0]) || !IsSize(offsets[1])) {
    return Broken("data_offsets is not a pair of sizes");
  }
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data.size()) return Broken("data_offsets lie outside the file");
  if (end - begin != bytes) return Broken("data_offsets and shape disagree about the size");
  tensor.bytes = data.subspan(begin, bytes);
  return tensor;
}

// The format wants the tensors to fill the data without a hole or an overlap.
absl::Status CheckCoverage(const StoredTensors& tensors, std::span<const uint8_t> data) {
  std::vector<std::span<const uint8_t>> spans;
  for (const auto& [name, tensor] : tensors) spans.push_back(tensor.bytes);
  std::ranges::sort(spans, [](const auto& a, const auto& b) {
    return a.data() != b.data() ? a.data() < b.data() : a.size() < b.size();
  });
  const uint8_t* next = data.data();
  for (const auto& span : spans) {
    if (span.data() != next) return Broken("tensors overlap or leave a hole");
    next += span.size();
  }
  if (next != data.data() + data.size()) return Broken("the file is longer than its tensors");
  return absl::OkStatus();
}

absl::StatusOr<Json> ParseHeader(std::string_view text) {
  bool too_deep = false;
  const auto watch_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxHeaderDepth;
    return !too_deep;
  };
  Json header = Json::parse(text, watch_depth, /*allow_exceptions=*/false);
  if (too_deep || !header.is_object()) return Broken("the header is not a JSON object of tensors");
  return header;
}

// A name in an index must be a plain file of the checkpoint's own folder.
bool IsPlainName(const std::string& name) {
  return absl::EndsWith(name, ".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

void AppendSample(std::span<const uint8_t> bytes, uint64_t begin, std::string& out) {
  const uint64_t count = std::min<uint64_t>(kSampleBytes, bytes.size() - begin);
  out.append(reinterpret_cast<const char*>(bytes.data() + begin), count);
}

}  // namespace

absl::StatusOr<StoredTensors> ParseSafetensors(std::span<const uint8_t> file) {
  if (file.size() < kLengthBytes) return Broken("the file is shorter than its header's length field");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size() - kLengthBytes) {
    return Broken(absl::StrCat("the header's length, ", header_bytes, ", is beyond the file or 16 MiB"));
  }
  const auto* text = reinterpret_cast<const char*>(file.data() + kLengthBytes);
  QUIRE_ASSIGN_OR_RETURN(const Json header, ParseHeader({text, header_bytes}));
  const std::span<const uint8_t> data = file.subspan(kLengthBytes + header_bytes);
  StoredTensors tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    absl::StatusOr<StoredTensor> tensor = ReadEntry(entry, data);
    if (!tensor.ok()) return Broken(absl::StrCat("tensor ", name, ": ", tensor.status().message()));
    tensors.emplace(name, *std::move(tensor));
  }
  QUIRE_RETURN_IF_ERROR(CheckCoverage(tensors, data));
  return tensors;
}

class Safetensors::MappedFile {
 public:
  static absl::StatusOr<std::unique_ptr<MappedFile>> Map(const std::string& path) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
    struct stat info {};
    const bool regular = fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    const auto size = static_cast<size_t>(info.st_size);
    void* address = regular ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0) : MAP_FAILED;
    if (!regular) return Broken(absl::StrCat(path, " is empty or not a file"));
    if (address == MAP_FAILED) {
      return absl::ResourceExhaustedError(absl::StrCat(path, " can't be mapped: ", std::strerror(errno)));
    }
    return std::unique_ptr<MappedFile>(new MappedFile({static_cast<const uint8_t*>(address), size}));
  }
  ~MappedFile() { munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size()); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const uint8_t> bytes() const { return bytes_; }
  // Of madvise; whether it is heeded changes nothing but the time.
  void Advise(int advice) const { madvise(const_cast<uint8_t*>(bytes_.data()), bytes_.size(), advice); }

 private:
  explicit MappedFile(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  const std::span<const uint8_t> bytes_;
};

Safetensors::Safetensors(std::string model_dir) : model_dir_(std::move(model_dir)) {}
Safetensors::~Safetensors() = default;

absl::StatusOr<StoredTensors> Safetensors::MapFile(const std::string& name) {
  const std::string path = absl::StrCat(model_dir_, "/", name);
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Map(path));
  absl::StatusOr<StoredTensors> tensors = ParseSafetensors(file->bytes());
  if (!tensors.ok()) return Broken(absl::StrCat(path, ": ", tensors.status().message()));
  files_.push_back(std::move(file));
  return tensors;
}

absl::Status Safetensors::AddShards(const std::string& index_json) {
  const Json index = ParseJsonText(index_json);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return Broken(absl::StrCat(model_dir_, "/model.safetensors.index.json has no weight_map"));
  }
  std::map<std::string, StoredTensors> shards;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string() || !IsPlainName(file.get<std::string>())) {
      return Broken(absl::StrCat("model.safetensors.index.json: the file of ", tensor,
                                 " is not a plain *.safetensors name"));
    }
    const std::string name = file.get<std::string>();
    if (!shards.contains(name)) {
      QUIRE_ASSIGN_OR_RETURN(shards[name], MapFile(name));
    }
    const auto found = shards[name].find(tensor);
    if (found == shards[name].end()) {
      return Broken(absl::StrCat("model.safetensors.index.json says that ", name, " holds ", tensor,
                                 ", but it does not"));
    }
    tensors_.insert(*found);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Safetensors>> Safetensors::Open(const std::string& model_dir) {
  auto opened = std::unique_ptr<Safetensors>(new Safetensors(model_dir));
  QUIRE_ASSIGN_OR_RETURN(const bool one_file, Exists(model_dir + "/model.safetensors"));
  if (one_file) {
    QUIRE_ASSIGN_OR_RETURN(opened->tensors_, opened->MapFile("model.safetensors"));
    return opened;
  }
  const std::string index_path = model_dir + "/model.safetensors.index.json";
  QUIRE_ASSIGN_OR_RETURN(const bool has_index, Exists(index_path));
  if (!has_index) {
    return absl::NotFoundError(
        absl::StrCat(model_dir,
                     " holds neither model.safetensors nor "
                     "model.safetensors.index.json; only safetensors weights are read"));
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string index_json, ReadWholeFile(index_path));
  QUIRE_RETURN_IF_ERROR(opened->AddShards(index_json));
  return opened;
}

absl::StatusOr<StoredTensor> Safetensors::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat(model_dir_, " has no tensor ", std::string(name)));
  }
  return found->second;
}

Digest Safetensors::SampleDigest() const {
  std::string sample;
  // A disk that reads megabytes ahead would read half the checkpoint for these few bytes.
  for (const auto& file : files_) file->Advise(MADV_RANDOM);
  for (const auto& [name, tensor] : tensors_) {
    absl::StrAppend(&sample, name, " ", static_cast<int>(tensor.type));
    for (const int64_t size : tensor.shape) absl::StrAppend(&sample, " ", size);
    sample.push_back('\n');
    AppendSample(tensor.bytes, 0, sample);
    AppendSample(tensor.bytes, tensor.bytes.size() / 2, sample);
    AppendSample(tensor.bytes, tensor.bytes.size() - std::min<uint64_t>(kSampleBytes, tensor.bytes.size()),
                 sample);
  }
  for (const auto& file : files_) file->Advise(MADV_NORMAL);  // loading wants it
  return Sha256(sample);
}

}  // namespace quire::worker
