// Any bytes as tokenizer.json: refused with a sentence that names the file or a field, or a tokenizer whose
// ids are all in the vocabulary and whose control tokens never come out of user text.
#include <cstdlib>

#include "base/core/status.h"
#include "gateway/text/detokenizer.h"
#include "gateway/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  const auto tokenizer = Tokenizer::Create({reinterpret_cast<const char*>(data), size}, "");
  if (!tokenizer.ok()) {
    if (!quire::MessageOf(tokenizer.status()).starts_with("tokenizer.json")) std::abort();
    return 0;
  }
  const std::string text = "a aa<x> Ab1 \n\xC3\xA9 e\xCC\x81";
  for (const Origin origin : {Origin::kTemplate, Origin::kUser}) {
    const auto ids = (*tokenizer)->Encode(text, origin);
    if (!ids.ok()) continue;
    Detokenizer detokenizer(**tokenizer, false);
    for (const quire::TokenId id : *ids) {
      if (id < 0 || id >= (*tokenizer)->vocabulary_size()) std::abort();
      if (origin == Origin::kUser && (*tokenizer)->IsControl(id)) std::abort();
      detokenizer.Push(id);
    }
    detokenizer.Flush();
  }
  return 0;
}
