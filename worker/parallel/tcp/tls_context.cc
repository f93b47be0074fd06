#include "worker/parallel/tcp/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <csignal>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace quire::worker {
namespace {

constexpr std::string_view kRole = "quire-worker";

absl::Status Refused(const std::string& what, const std::string& file) {
  return absl::InvalidArgumentError(absl::StrCat(what, " ", file, ": ", LastTlsError()));
}

bool IsWorkerName(std::string_view name) {
  const bool begins = name.substr(0, kRole.size()) == kRole;
  return begins && (name.size() == kRole.size() || name[kRole.size()] == '.');
}

std::string_view Text(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<size_t>(ASN1_STRING_length(string))};
}

struct NamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

bool HasWorkerName(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, NamesFree> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS && IsWorkerName(Text(name->d.dNSName))) return true;
  }
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (place < 0) return false;
  return IsWorkerName(Text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place))));
}

}  // namespace

std::string LastTlsError() {
  std::string text;
  while (const unsigned long error = ERR_get_error()) {  // the last one says what the first ones led to
    const char* reason = ERR_reason_error_string(error);
    text = reason != nullptr ? reason : absl::StrCat("error ", error);
  }
  return text.empty() ? "no reason given" : text;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Load(const LinkTlsFiles& files) {
  if (files.cert.empty() || files.key.empty() || files.ca.empty()) {
    return absl::InvalidArgumentError("mTLS needs all three of --tls-cert, --tls-key and --tls-ca");
  }
  signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<SSL_CTX, SslFree> context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) return absl::InternalError(LastTlsError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  // The 128-bit cipher first: an exchange waits for it.
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_num_tickets(context.get(), 0);  // nobody resumes; nothing is to be read after the handshake
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.cert.c_str()) != 1) {
    return Refused("can't use the certificate --tls-cert", files.cert);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Refused("can't use the key --tls-key", files.key);
  }
  if (SSL_CTX_load_verify_file(context.get(), files.ca.c_str()) != 1) {
    return Refused("can't use the authority --tls-ca", files.ca);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

absl::StatusOr<std::unique_ptr<SSL, SslFree>> TlsContext::Open(int fd) const {
  std::unique_ptr<SSL, SslFree> ssl(SSL_new(context_.get()));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), fd) != 1) return absl::InternalError(LastTlsError());
  return ssl;
}

absl::Status CheckPeerIsWorker(const SSL& ssl) {
  const std::unique_ptr<X509, SslFree> certificate(SSL_get1_peer_certificate(&ssl));
  if (certificate != nullptr && HasWorkerName(certificate.get())) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "its certificate is not for the role quire-worker: give it the DNS name quire-worker "
      "(docs/OPERATIONS.md, Certificates)");
}

}  // namespace quire::worker
