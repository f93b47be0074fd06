#include "base/core/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace quire {

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got = getrandom(bytes.data() + filled, size - filled, 0);
    if (got < 0) std::abort();  // the kernel has no randomness: nothing that needs ids can go on
    filled += static_cast<size_t>(got);
  }
  return bytes;
}

RequestId RequestId::Random() { return *FromBytes(RandomBytes(16)); }

absl::StatusOr<RequestId> RequestId::FromBytes(std::string_view raw) {
  RequestId id;
  if (raw.size() != id.bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a request id has 16 bytes, this one ", raw.size()));
  }
  std::copy(raw.begin(), raw.end(), id.bytes.begin());
  return id;
}

std::string RequestId::ToHex() const { return absl::BytesToHexString(ToBytes()); }

}  // namespace quire
