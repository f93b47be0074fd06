// Any bytes as a URL: it is refused with a sentence, or it is what it says: a name, a port and a target that
// stand in a request's head as they are, and read again it is the same.
#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/http/https_url.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<HttpsUrl> url = ParseHttpsUrl(text);
  if (!url.ok()) {
    Check(!url.status().message().empty());
    return 0;
  }
  Check(size <= kMaxUrlBytes && url->port > 0);
  Check(!url->host.empty() && url->host.size() <= 253 && url->host.back() != '.');
  for (const unsigned char c : url->host) {
    Check((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.');
  }
  const std::string last = url->host.substr(url->host.rfind('.') + 1);
  Check(last.find_first_not_of("0123456789") != std::string::npos && last.rfind("0x", 0) != 0);
  Check(url->target.front() == '/');
  for (const unsigned char c : url->target) Check(c > ' ' && c < 0x7F && c != '#' && c != '\\');
  const absl::StatusOr<HttpsUrl> again =
      ParseHttpsUrl(absl::StrCat("https://", url->host, ":", url->port, url->target));
  Check(size > kMaxUrlBytes - 6 || (again.ok() && *again == *url));
  return 0;
}
