#include "kernels/cuda/lt/lt_cache.h"

#include <charconv>
#include <limits>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/core/hash.h"

namespace quire::kernels::cuda {
namespace {

// Counts up where a choice would be another one: by the algorithms that are looked at, by the workspace, by
// what is timed.
constexpr char kFormat[] = "quire matmuls 1\n";
constexpr std::string_view kSum = "sum ";
constexpr size_t kSumBytes = kSum.size() + 64 + 1;                        // of its line: a SHA-256 in hex
constexpr int64_t kMostShapeRows = 1 << 20, kMostShapeColumns = 1 << 24;  // of what ranks serve, far more

struct Field {
  int64_t value, least, most;
};

// Of a line: as they are written, and as far as they may go.
std::vector<Field> FieldsOf(const LtShape& s, const LtConfig& c) {
  constexpr int64_t kInt = std::numeric_limits<int32_t>::max();
  std::vector<Field> fields = {{s.m, 1, kMostShapeRows},    {s.n, 1, kMostShapeColumns},
                               {s.k, 1, kMostShapeColumns}, {s.leaves, 1, 8},
                               {s.y_is_bf16 ? 1 : 0, 0, 1}, {s.y_stride, 1, kMostShapeColumns}};
  for (const int32_t value : {c.id, c.tile, c.split_k, c.reduction, c.swizzle, c.option, c.stages,
                              c.inner_shape, c.cluster_shape}) {
    fields.push_back({value, 0, kInt});
  }
  return fields;
}

std::string LineOf(const LtShape& shape, const LtConfig& config) {
  std::string line;
  for (const Field& field : FieldsOf(shape, config)) {
    if (!line.empty()) line += ' ';
    line += std::to_string(field.value);
  }
  return line + '\n';
}

bool TakeNumber(std::string_view& line, int64_t* value) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), *value);
  if (error != std::errc()) return false;
  line.remove_prefix(static_cast<size_t>(end - line.data()));
  if (!line.empty()) line.remove_prefix(1);  // whichever it is: the line is compared as a whole
  return true;
}

// False where the line is not just what would be written.
bool ReadLine(std::string_view line, LtShape* shape, LtConfig* config) {
  int64_t v[15] = {};
  std::string_view rest = line;
  for (int64_t& value : v) {
    if (!TakeNumber(rest, &value) || value < 0 || value > std::numeric_limits<int32_t>::max()) return false;
  }
  const auto of = [&](int i) { return static_cast<int32_t>(v[i]); };
  *shape = {of(0), of(1), of(2), of(3), v[4] == 1, v[5]};
  *config = {of(6), of(7), of(8), of(9), of(10), of(11), of(12), of(13), of(14)};
  for (const Field& field : FieldsOf(*shape, *config)) {
    if (field.value < field.least || field.value > field.most) return false;
  }
  return line == LineOf(*shape, *config);
}

// A device's name is the driver's: a line of it.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.substr(0, 200);
}

}  // namespace

std::string LtCacheHead(const LtCacheKey& key) {
  return kFormat + Printable(key.device) + ", compute capability " + Printable(key.capability) +
         ", a driver for CUDA " + std::to_string(key.driver) + ", cuBLASLt " + std::to_string(key.library) +
         '\n';
}

std::string WriteLtCache(const LtCacheKey& key, const LtKept& kept) {
  std::string text = LtCacheHead(key);
  for (const auto& [shape, config] : kept) text += LineOf(shape, config);
  return text + std::string(kSum) + ToHex(Sha256(text)) + '\n';
}

absl::StatusOr<LtKept> ReadLtCache(std::string_view text, const LtCacheKey& key) {
  if (text.size() > kMostLtCacheBytes) return absl::InvalidArgumentError("it is too large");
  const std::string head = LtCacheHead(key);
  if (!text.starts_with(head)) return absl::InvalidArgumentError("it is of another format, GPU or library");
  if (text.size() < head.size() + kSumBytes) return absl::InvalidArgumentError("it is cut off");
  const std::string_view summed = text.substr(0, text.size() - kSumBytes);
  if (text.substr(summed.size()) != std::string(kSum) + ToHex(Sha256(summed)) + '\n') {
    return absl::InvalidArgumentError("its sum is wrong: it is cut off or was changed");
  }
  LtKept kept;
  for (std::string_view rest = summed.substr(head.size()); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    LtShape shape;
    LtConfig config;
    if (!ReadLine(line, &shape, &config)) return absl::InvalidArgumentError("a line is not one of ours");
    if (!kept.emplace(shape, config).second) return absl::InvalidArgumentError("a shape stands there twice");
    if (kept.size() > kMostLtCacheShapes) return absl::InvalidArgumentError("it has too many shapes");
    rest.remove_prefix(line.size());
  }
  return kept;
}

}  // namespace quire::kernels::cuda
