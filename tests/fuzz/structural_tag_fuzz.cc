// A grammar's source as a client may send it -> xgrammar: whatever the bytes are, it is refused or followed,
// and nothing is thrown. Over a vocabulary of single bytes; the inputs are short, since a long source may
// take seconds.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/grammar/xgrammar_compiler.h"

namespace {

using quire::TokenId;
using quire::worker::Vocabulary;
using quire::worker::XGrammarCompiler;

constexpr size_t kMaxInput = 600;
constexpr TokenId kSpecial = 256;

Vocabulary Bytes() {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.bytes.emplace_back(1, static_cast<char>(byte));
  vocabulary.bytes.emplace_back("<|end|>");
  vocabulary.special = {kSpecial};
  vocabulary.size = 260;
  return vocabulary;
}

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const XGrammarCompiler& compiler = *new XGrammarCompiler(Bytes());
  if (size > kMaxInput) return 0;
  const auto grammar = compiler.Compile("structural_tag", std::string(data, data + size), 260);
  if (!grammar.ok()) {
    Require(absl::IsInvalidArgument(grammar.status()));
    return 0;
  }
  const auto state = (*grammar)->Start();
  std::vector<uint32_t> mask(9);
  for (int i = 0; i < 32 && state->status().ok(); ++i) {
    Require(state->FillMask(mask));
    TokenId next = -1;
    for (TokenId id = 0; id < 288; ++id) {
      if ((mask[id / 32] >> (id % 32) & 1) == 0) continue;
      Require(id <= kSpecial);
      if (next < 0 || (id + i) % 7 == 0) next = id;
    }
    if (next < 0) break;
    Require(state->Accept(next) || !state->status().ok());
  }
  return 0;
}
