#include "gateway/text/bpe.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace quire::gateway {
namespace {

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// For a heap with the lowest rank, then the leftmost, on top.
bool Later(const Bpe::Scratch::Candidate& a, const Bpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
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
  if (!file.ignore_merges) return;
  for (size_t id = 0; id < file.token_bytes.size(); ++id) {
    const TokenId token = static_cast<TokenId>(id);
    if (!file.token_bytes[id].empty() && !added.contains(token)) whole_words_[file.token_bytes[id]] = token;
  }
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

void Bpe::Encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (const auto whole = whole_words_.find(absl::string_view(word.data(), word.size()));
      whole != whole_words_.end()) {
    ids.push_back(whole->second);
    return;
  }
  scratch.symbols.clear();
  scratch.heap.clear();
  for (const char c : word) {
    const TokenId token = byte_tokens_[static_cast<unsigned char>(c)];
    if (token == kNoToken) continue;
    const int32_t index = static_cast<int32_t>(scratch.symbols.size());
    scratch.symbols.push_back({token, index - 1, index + 1});
  }
  if (scratch.symbols.empty()) return;
  scratch.symbols.back().next = -1;
  const int32_t count = static_cast<int32_t>(scratch.symbols.size());
  for (int32_t position = 0; position + 1 < count; ++position) Propose(scratch, position);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), Later);
    const Scratch::Candidate candidate = scratch.heap.back();
    scratch.heap.pop_back();
    const Scratch::Symbol& symbol = scratch.symbols[candidate.position];
    if (symbol.token == kNoToken || symbol.next < 0) continue;
    // A stale candidate still counts if what stands there now merges to the same token (as Hugging Face has
    // it).
    const Merge* merge = Find(symbol.token, scratch.symbols[symbol.next].token);
    if (merge != nullptr && merge->result == candidate.result) {
      Apply(scratch, candidate.position, candidate.result);
    }
  }
  for (int32_t at = 0; at >= 0; at = scratch.symbols[at].next) ids.push_back(scratch.symbols[at].token);
}

}  // namespace quire::gateway
