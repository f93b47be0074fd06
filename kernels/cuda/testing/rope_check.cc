#include <cmath>

#include "kernels/cuda/rope.h"
#include "kernels/cuda/testing/data.h"
#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

struct Heads {
  int query, kv, dim;
  int width() const { return (query + 2 * kv) * dim; }
};

constexpr int kPositions = 300, kBlocks = 21;

// With an attention factor, as YaRN has one.
double Angle(int position, int i, int dim) { return position * std::pow(1e4, -2.0 * i / dim); }
constexpr double kScale = 1.1386;

std::vector<float> Table(int dim) {
  std::vector<float> table;
  for (int position = 0; position < kPositions; ++position) {
    for (int i = 0; i < dim / 2; ++i)
      table.push_back(static_cast<float>(std::cos(Angle(position, i, dim)) * kScale));
    for (int i = 0; i < dim / 2; ++i)
      table.push_back(static_cast<float>(std::sin(Angle(position, i, dim)) * kScale));
  }
  return table;
}

// What the kernel must write for one head of a token: [dim].
std::vector<double> Rotated(const std::vector<double>& row, int first, int dim, int position, bool rotate) {
  std::vector<double> out;
  for (int j = 0; j < dim; ++j) {
    const int half = dim / 2, i = j % half;
    const double angle = Angle(position, i, dim), x = row[first + j];
    const double other = j < half ? -row[first + j + half] : row[first + j - half];
    out.push_back(rotate ? (x * std::cos(angle) + other * std::sin(angle)) * kScale : x);
  }
  return out;
}

// Heads of q and k as RMSNorm leaves them; q's weights come first.
void NormHeads(std::vector<double>& row, const Heads& heads, const std::vector<float>& weights, double eps) {
  for (int head = 0; head < heads.query + heads.kv; ++head) {
    double sum = 0;
    for (int i = 0; i < heads.dim; ++i) sum += row[head * heads.dim + i] * row[head * heads.dim + i];
    const double scale = 1 / std::sqrt(sum / heads.dim + eps);
    const int first = head < heads.query ? 0 : heads.dim;
    for (int i = 0; i < heads.dim; ++i) row[head * heads.dim + i] *= scale * weights[first + i];
  }
}

enum Extra : int { kNone = 0, kBias = 1, kNorms = 2 };
constexpr float kNormEps = 1e-2f;

struct RopeData {
  std::vector<float> qkv, bias, norms;
  std::vector<int32_t> positions, slots;
};

RopeData MakeData(Checker& checker, int tokens, const Heads& heads) {
  RopeData data{RandomFloats(static_cast<size_t>(tokens) * heads.width(), checker.NextSeed()),
                RandomFloats(heads.width(), checker.NextSeed(), 0.5f),
                RandomFloats(2 * heads.dim, checker.NextSeed()),
                {},
                {}};
  for (float& value : data.qkv) value = kernels::Bf16ToFloat(kernels::FloatToBf16(value));
  for (int token = 0; token < tokens; ++token) {
    data.positions.push_back(token * 131 % kPositions);
    data.slots.push_back((token * 37 + 5) % (kBlocks * kPageKeys));  // all different up to 336 tokens
  }
  return data;
}

template <typename In>
void CheckOne(Checker& checker, int tokens, const Heads& heads, int extra, const char* name) {
  const RopeData data = MakeData(checker, tokens, heads);
  std::vector<In> qkv;
  if constexpr (sizeof(In) == 2) {
    qkv = ToBf16(data.qkv);
  } else {
    qkv = data.qkv;
  }
  Stream& stream = checker.stream();
  const Buffer<In> qkv_buffer(stream, qkv);
  const Buffer<float> bias(stream, data.bias), table(stream, Table(heads.dim)), norms(stream, data.norms);
  const Buffer<int32_t> positions(stream, data.positions), slots(stream, data.slots);
  const Buffer<uint16_t> q_out(stream, static_cast<size_t>(tokens) * heads.query * heads.dim);
  const Buffer<uint16_t> pages(stream, PageOffset(kBlocks, heads.kv, 0, heads.dim));
  RopeAndStore<In>(
      stream, tokens,
      {qkv_buffer.data(), extra & kBias ? bias.data() : nullptr, table.data(), positions.data(), slots.data(),
       q_out.data(), pages.data(), heads.query, heads.kv, heads.dim, extra & kNorms ? norms.data() : nullptr,
       extra & kNorms ? norms.data() + heads.dim : nullptr, kNormEps});
  const std::vector<double> q = ToDouble(q_out.Download()), kv = ToDouble(pages.Download());
  std::vector<double> got, want;
  for (int token = 0; token < tokens; ++token) {
    std::vector<double> row;
    for (int i = 0; i < heads.width(); ++i) {
      const double value = data.qkv[static_cast<size_t>(token) * heads.width() + i];
      row.push_back(extra & kBias ? value + data.bias[i] : value);
    }
    if (extra & kNorms) NormHeads(row, heads, data.norms, kNormEps);
    for (int head = 0; head < heads.query + 2 * heads.kv; ++head) {
      const bool is_q = head < heads.query, is_v = head >= heads.query + heads.kv;
      const int kv_head = (head - heads.query) % heads.kv, slot = data.slots[token];
      const size_t at = is_q ? (static_cast<size_t>(token) * heads.query + head) * heads.dim
                             : PageOffset(slot / kPageKeys, heads.kv, kv_head, heads.dim) +
                                   (slot % kPageKeys + (is_v ? kPageKeys : 0)) * heads.dim;
      const std::vector<double>& from = is_q ? q : kv;
      got.insert(got.end(), from.begin() + at, from.begin() + at + heads.dim);
      const std::vector<double> rotated =
          Rotated(row, head * heads.dim, heads.dim, data.positions[token], !is_v);
      want.insert(want.end(), rotated.begin(), rotated.end());
    }
  }
  const std::string shape = std::to_string(tokens) + " tokens, " + std::to_string(heads.query) + "+" +
                            std::to_string(heads.kv) + " heads of " + std::to_string(heads.dim);
  checker.Within(name, shape, RelativeError(got, want), 4e-3);
  const size_t written = static_cast<size_t>(tokens) * heads.kv * heads.dim * 2;
  const size_t poisoned = std::count_if(kv.begin(), kv.end(), [](double x) { return std::isnan(x); });
  checker.True(std::string(name) + ": other slots", shape, poisoned + written == kv.size(),
               "a slot of no token was written, or one of a token was not");
}

}  // namespace

void CheckRope(Checker& checker) {
  for (const int tokens : {1, 7, checker.small() ? 18 : 336}) {
    CheckOne<float>(checker, tokens, {10, 2, 128}, kBias, "rope_store fp32");
    CheckOne<float>(checker, tokens, {5, 2, 128}, kNorms, "rope_store fp32, normed heads");
    CheckOne<float>(checker, tokens, {6, 3, 64}, kBias | kNorms, "rope_store fp32, normed heads");
    CheckOne<uint16_t>(checker, tokens, {10, 2, 128}, kBias, "rope_store bf16");
    CheckOne<uint16_t>(checker, tokens, {14, 2, 64}, kNone, "rope_store bf16");
    if (!checker.small()) CheckOne<uint16_t>(checker, tokens, {40, 8, 128}, kBias, "rope_store bf16");
  }
}

}  // namespace quire::kernels::cuda
