#include "gateway/generation/json_object_scan.h"

namespace quire::gateway {
namespace {

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }
bool IsHexDigit(char byte) {
  return IsDigit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}
bool IsJsonSpace(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

}  // namespace

size_t JsonObjectScan::Push(std::string_view bytes) {
  size_t taken = 0;
  while (taken < bytes.size() && state_ == State::kOpen) {
    if (!Take(bytes[taken])) {
      state_ = State::kBroken;
      break;
    }
    ++taken;
  }
  return taken;
}

bool JsonObjectScan::Take(char byte) {
  if (next_ >= Next::kMinus) return TakeInNumber(byte);
  if (next_ < Next::kString) return IsJsonSpace(byte) ? next_ != Next::kObject : TakeStructure(byte);
  if (next_ != Next::kLiteral) return TakeInString(byte);
  if (literal_.front() != byte) return false;
  literal_.remove_prefix(1);
  if (literal_.empty()) next_ = Next::kCommaOrEnd;
  return true;
}

bool JsonObjectScan::TakeStructure(char byte) {
  switch (next_) {
    case Next::kObject:
      return byte == '{' && Open(byte);
    case Next::kKeyOrEnd:
      if (byte == '}') return Close(byte);
      [[fallthrough]];
    case Next::kKey:
      in_key_ = true;
      next_ = Next::kString;
      return byte == '"';
    case Next::kColon:
      next_ = Next::kValue;
      return byte == ':';
    case Next::kValueOrEnd:
      return byte == ']' ? Close(byte) : BeginValue(byte);
    case Next::kValue:
      return BeginValue(byte);
    default:  // kCommaOrEnd
      if (byte != ',') return Close(byte);
      next_ = open_.back() ? Next::kKey : Next::kValue;
      return true;
  }
}

bool JsonObjectScan::BeginValue(char byte) {
  in_key_ = false;
  next_ = Next::kLiteral;
  switch (byte) {
    case '{':
    case '[':
      return Open(byte);
    case '"':
      next_ = Next::kString;
      return true;
    case 't':
      literal_ = "rue";
      return true;
    case 'f':
      literal_ = "alse";
      return true;
    case 'n':
      literal_ = "ull";
      return true;
    case '-':
      next_ = Next::kMinus;
      return true;
    default:
      next_ = byte == '0' ? Next::kZero : Next::kInteger;
      return IsDigit(byte);
  }
}

bool JsonObjectScan::Open(char byte) {
  if (open_.size() >= kMaxLevels) return false;
  open_.push_back(byte == '{');
  next_ = byte == '{' ? Next::kKeyOrEnd : Next::kValueOrEnd;
  return true;
}

bool JsonObjectScan::Close(char byte) {
  if (byte != (open_.back() ? '}' : ']')) return false;
  open_.pop_back();
  next_ = Next::kCommaOrEnd;
  if (open_.empty()) state_ = State::kClosed;
  return true;
}

bool JsonObjectScan::TakeInString(char byte) {
  switch (next_) {
    case Next::kEscape:
      next_ = byte == 'u' ? Next::kHex : Next::kString;
      remaining_ = 4;
      return std::string_view("\"\\/bfnrtu").find(byte) != std::string_view::npos;
    case Next::kHex:
      if (--remaining_ == 0) next_ = Next::kString;
      return IsHexDigit(byte);
    default:
      if (byte == '\\') next_ = Next::kEscape;
      if (byte == '"') next_ = in_key_ ? Next::kColon : Next::kCommaOrEnd;
      return static_cast<unsigned char>(byte) >= 0x20;
  }
}

bool JsonObjectScan::TakeInNumber(char byte) {
  switch (next_) {
    case Next::kMinus:
      next_ = byte == '0' ? Next::kZero : Next::kInteger;
      return IsDigit(byte);
    case Next::kPoint:
      next_ = Next::kFraction;
      return IsDigit(byte);
    case Next::kExponent:
      next_ = IsDigit(byte) ? Next::kExponentDigits : Next::kExponentSign;
      return IsDigit(byte) || byte == '+' || byte == '-';
    case Next::kExponentSign:
      next_ = Next::kExponentDigits;
      return IsDigit(byte);
    default:  // kZero, kInteger, kFraction, kExponentDigits: it may end here
      if (IsDigit(byte)) return next_ != Next::kZero;
      return EndNumber(byte);
  }
}

bool JsonObjectScan::EndNumber(char byte) {
  const bool whole = next_ == Next::kZero || next_ == Next::kInteger;
  if (byte == '.' && whole) {
    next_ = Next::kPoint;
    return true;
  }
  if ((byte == 'e' || byte == 'E') && next_ != Next::kExponentDigits) {
    next_ = Next::kExponent;
    return true;
  }
  next_ = Next::kCommaOrEnd;
  return Take(byte);
}

}  // namespace quire::gateway
