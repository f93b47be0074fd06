// Follows a JSON object (RFC 8259) byte by byte, to know where it ends without keeping it. Pure; one per
// object. Always: the bytes it took are the beginning of an object, which nests no deeper than kMaxLevels;
// memory is a bit for each level that is open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/core/strict_json.h"

namespace quire::gateway {

class JsonObjectScan {
 public:
  // Of a request's 64 (kMaxJsonDepth) some are its own, and what this takes is to come back in one.
  static constexpr size_t kMaxLevels = kMaxJsonDepth - 8;

  enum class State : uint8_t { kOpen, kClosed, kBroken };

  // Takes bytes up to the object's end, or up to the first that can't be there, which it doesn't take; how
  // many it took. From either on it takes none.
  size_t Push(std::string_view bytes);
  State state() const { return state_; }

 private:
  // What may come next.
  enum class Next : uint8_t {
    kObject,      // {
    kKeyOrEnd,    // behind {
    kKey,         // behind a comma
    kColon,       // behind a key
    kValue,       // behind a colon or, in a list, a comma
    kValueOrEnd,  // behind [
    kCommaOrEnd,  // behind a value
    kString,
    kEscape,
    kHex,      // of \u, remaining_ of them
    kLiteral,  // literal_
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
  };

  bool Take(char byte);
  bool TakeStructure(char byte);
  bool TakeInString(char byte);
  bool TakeInNumber(char byte);
  bool BeginValue(char byte);
  bool Open(char byte);
  bool Close(char byte);
  bool EndNumber(char byte);

  State state_ = State::kOpen;
  Next next_ = Next::kObject;
  std::vector<bool> open_;  // of each level: whether it is an object
  bool in_key_ = false;
  int remaining_ = 0;
  std::string_view literal_;  // what is left of true, false or null
};

}  // namespace quire::gateway
