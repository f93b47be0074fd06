#include "gateway/text/detokenizer.h"

#include <algorithm>

namespace quire::gateway {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";  // U+FFFD

// How a byte sequence of UTF-8 begins: its length, and what its second byte may be (Unicode, table 3-7).
struct Lead {
  size_t length;
  unsigned char second_low, second_high;
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes at `at` belong together, and whether they are a character, may become one, or never will.
enum class Sequence { kWhole, kUnfinished, kInvalid };
Sequence Scan(const std::string& bytes, size_t at, size_t& length) {
  const Lead lead = LeadOf(bytes[at]);
  length = 1;
  if (lead.length == 0) return Sequence::kInvalid;
  for (; length < lead.length; ++length) {
    if (at + length == bytes.size()) return Sequence::kUnfinished;
    const unsigned char byte = bytes[at + length];
    const unsigned char low = length == 1 ? lead.second_low : 0x80;
    const unsigned char high = length == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return Sequence::kInvalid;
  }
  return Sequence::kWhole;
}

}  // namespace

bool Detokenizer::Skips(TokenId id) const {
  return skip_special_tokens_ && tokenizer_.IsSpecial(id) &&
         std::find(kept_.begin(), kept_.end(), id) == kept_.end();
}

std::string Detokenizer::Push(TokenId id) {
  if (Skips(id)) return {};
  pending_ += tokenizer_.BytesOf(id);
  std::string out;
  size_t at = 0, length = 0;
  while (at < pending_.size()) {
    const Sequence sequence = Scan(pending_, at, length);
    if (sequence == Sequence::kUnfinished) break;
    out += sequence == Sequence::kWhole ? pending_.substr(at, length) : kReplacement;
    at += length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Detokenizer::Flush() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return unfinished ? kReplacement : "";
}

}  // namespace quire::gateway
