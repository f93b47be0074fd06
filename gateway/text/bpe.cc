#include "gateway/text/bpe.h"

#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

// Merges between two questions whether the client has left: about a millisecond.
constexpr size_t kMergesPerQuestion = 4096;

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// For a heap with the lowest rank, then the leftmost, on top.
bool Later(const Bpe::Scratch::Candidate& a, const Bpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

absl::Status TooManyTokens(const EncodeLimits& limits) {
  return absl::ResourceExhaustedError(absl::StrCat("more than ", limits.max_tokens, " tokens"));
}

}  // namespace

Bpe::Bpe(const TokenizerFile& file) : byte_tokens_(file.byte_tokens) {
  absl::flat_hash_set<TokenId> added;
  for (const AddedToken& token : file.added_tokens) added.insert(token.id);
  merges_.reserve(file.merges.size());
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const MergeRule& rule = file.merges[rank];
    if (added.contains(rule.result)) continue;
    merges_.insert_or_assign(PairKey(rule.left, rule.right), Merge{static_cast<uint32_t>(rank), rule.result});
  }
  std::array<size_t, 256> largest = {};
  Scratch scratch;
  for (size_t id = 0; id < file.token_bytes.size(); ++id) {
    const TokenId token = static_cast<TokenId>(id);
    const std::string& bytes = file.token_bytes[id];
    if (bytes.empty() || added.contains(token)) continue;
    for (const char c : bytes) {
      size_t& size = largest[static_cast<unsigned char>(c)];
      size = std::max(size, bytes.size());
    }
    if (file.ignore_merges || MergesTo(bytes, token, scratch)) whole_words_[bytes] = token;
  }
  for (size_t byte = 0; byte < largest.size(); ++byte) {
    if (byte_tokens_[byte] != kNoToken)
      least_share_[byte] = 1.0 / static_cast<double>(std::max<size_t>(largest[byte], 1));
  }
}

size_t Bpe::LeastTokens(std::string_view word) const {
  double tokens = 0;
  for (const char c : word) tokens += least_share_[static_cast<unsigned char>(c)];
  constexpr double kRounding = 1e-6;
  return static_cast<size_t>(std::ceil(std::max(tokens - kRounding, 0.0)));
}

const Bpe::Merge* Bpe::Find(TokenId left, TokenId right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::Propose(Scratch& scratch, int32_t position) const {
  const Scratch::Symbol& symbol = scratch.symbols[position];
  if (symbol.next < 0) return;
  const Merge* merge = Find(symbol.token, scratch.symbols[symbol.next].token);
  if (merge == nullptr) return;
  scratch.heap.push_back({merge->rank, position, merge->result});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), Later);
}

void Bpe::Apply(Scratch& scratch, int32_t position, TokenId result) const {
  Scratch::Symbol& left = scratch.symbols[position];
  Scratch::Symbol& right = scratch.symbols[left.next];
  left.token = result;
  left.next = right.next;
  right.token = kNoToken;
  if (left.next >= 0) scratch.symbols[left.next].previous = position;
  if (left.previous >= 0) Propose(scratch, left.previous);
  Propose(scratch, position);
}

bool Bpe::Begin(std::string_view word, Scratch& scratch) const {
  scratch.symbols.clear();
  scratch.heap.clear();
  for (const char c : word) {
    const TokenId token = byte_tokens_[static_cast<unsigned char>(c)];
    if (token == kNoToken) continue;
    const int32_t index = static_cast<int32_t>(scratch.symbols.size());
    scratch.symbols.push_back({token, index - 1, index + 1});
  }
  if (scratch.symbols.empty()) return false;
  scratch.symbols.back().next = -1;
  const int32_t count = static_cast<int32_t>(scratch.symbols.size());
  for (int32_t position = 0; position + 1 < count; ++position) Propose(scratch, position);
  return true;
}

void Bpe::MergeNext(Scratch& scratch) const {
  std::pop_heap(scratch.heap.begin(), scratch.heap.end(), Later);
  const Scratch::Candidate candidate = scratch.heap.back();
  scratch.heap.pop_back();
  const Scratch::Symbol& symbol = scratch.symbols[candidate.position];
  if (symbol.token == kNoToken || symbol.next < 0) return;
  // A stale candidate still counts if what stands there now merges to the same token (as Hugging Face has
  // it).
  const Merge* merge = Find(symbol.token, scratch.symbols[symbol.next].token);
  if (merge != nullptr && merge->result == candidate.result) {
    Apply(scratch, candidate.position, candidate.result);
  }
}

bool Bpe::MergesTo(std::string_view word, TokenId token, Scratch& scratch) const {
  if (!Begin(word, scratch)) return false;
  while (!scratch.heap.empty()) MergeNext(scratch);
  return scratch.symbols[0].token == token && scratch.symbols[0].next < 0;
}

absl::Status Bpe::Encode(std::string_view word, const EncodeLimits& limits, Scratch& scratch,
                         std::vector<TokenId>& ids) const {
  if (ids.size() + LeastTokens(word) > limits.max_tokens) return TooManyTokens(limits);
  if (const auto whole = whole_words_.find(absl::string_view(word.data(), word.size()));
      whole != whole_words_.end()) {
    ids.push_back(whole->second);
    return absl::OkStatus();
  }
  if (!Begin(word, scratch)) return absl::OkStatus();
  for (size_t merges = 1; !scratch.heap.empty(); ++merges) {
    if (merges % kMergesPerQuestion == 0 && limits.gone()) return absl::CancelledError("nobody waits for it");
    MergeNext(scratch);
  }
  for (int32_t at = 0; at >= 0; at = scratch.symbols[at].next) ids.push_back(scratch.symbols[at].token);
  return ids.size() > limits.max_tokens ? TooManyTokens(limits) : absl::OkStatus();
}

}  // namespace quire::gateway
