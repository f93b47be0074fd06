// Text that knows, byte by byte, who wrote it: the checkpoint's template or the request.
// Only template bytes may become control tokens, so every operation on text must keep both halves in step;
// this class is the only place that does. Plain data; one thread at a time. Always: origins_.size() ==
// text_.size().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace quire::gateway {

enum class Origin : char { kTemplate = 't', kUser = 'u' };

class OriginText {
 public:
  OriginText() = default;
  OriginText(std::string text, Origin origin)
      : text_(std::move(text)), origins_(text_.size(), static_cast<char>(origin)) {}

  const std::string& text() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  bool FromTemplate(size_t byte) const { return origins_[byte] == static_cast<char>(Origin::kTemplate); }
  Origin OriginAt(size_t byte) const { return static_cast<Origin>(origins_[byte]); }

  void Append(std::string_view text, Origin origin) {
    text_.append(text);
    origins_.append(text.size(), static_cast<char>(origin));
  }
  void Append(const OriginText& other) {
    text_ += other.text_;
    origins_ += other.origins_;
  }
  // As std::string::substr, but a start past the end gives nothing.
  OriginText Substr(size_t start, size_t count = std::string::npos) const {
    OriginText part;
    if (start >= size()) return part;
    part.text_ = text_.substr(start, count);
    part.origins_ = origins_.substr(start, count);
    return part;
  }

  bool operator==(const OriginText&) const = default;

 private:
  std::string text_;
  std::string origins_;  // one Origin per byte of text_
};

}  // namespace quire::gateway
