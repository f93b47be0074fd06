#include "base/http/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

namespace quire::http {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // the largest window; gzip's header, not zlib's
constexpr size_t kStepBytes = 64 << 10;

// Appends up to a step of output; the last result of zlib.
int InflateStep(z_stream& stream, std::string& text, size_t max_bytes) {
  const size_t before = text.size();
  text.resize(before + std::min(kStepBytes, max_bytes + 1 - before));
  stream.next_out = reinterpret_cast<Bytef*>(text.data() + before);
  stream.avail_out = static_cast<uInt>(text.size() - before);
  const int result = inflate(&stream, Z_NO_FLUSH);
  text.resize(text.size() - stream.avail_out);
  return result;
}

}  // namespace

absl::StatusOr<std::string> Gunzip(std::string_view compressed, size_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindowBits) != Z_OK) return absl::InternalError("zlib can't start");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string text;
  int result = Z_OK;
  while (result == Z_OK && text.size() <= max_bytes) {
    result = InflateStep(stream, text, max_bytes);
    if (result == Z_STREAM_END && stream.avail_in != 0) result = inflateReset(&stream);  // another member
  }
  if (text.size() > max_bytes) return absl::ResourceExhaustedError("the inflated body is too large");
  if (result != Z_STREAM_END || stream.avail_in != 0) return absl::InvalidArgumentError("not a gzip body");
  return text;
}

}  // namespace quire::http
