#include "base/core/secret_file.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/ids.h"
#include "base/core/status.h"

namespace quire {
namespace {

constexpr size_t kSecretBytes = 32;

bool IsSecret(const std::string& text) {
  return text.size() == 2 * kSecretBytes && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string MakeSecret() { return absl::BytesToHexString(RandomBytes(kSecretBytes)); }

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const std::string& otherwise) {
  absl::StatusOr<std::string> secret = ReadWholeFile(path);
  if (absl::IsNotFound(secret.status()))
    return absl::NotFoundError(absl::StrCat("no file ", path, ": ", otherwise));
  if (!secret.ok()) return absl::UnavailableError(absl::StrCat(MessageOf(secret.status()), "; ", otherwise));
  if (IsSecret(*secret)) return secret;
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is damaged (it has ", secret->size(), " bytes, and has to be ", 2 * kSecretBytes,
                   " lowercase hex digits without a line's end): ", otherwise));
}

}  // namespace quire
