#include "base/net/grpc.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/host_port.h"
#include "base/core/status.h"

namespace quire {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;
// As large as a body of the HTTP API.
constexpr int kMaxPublicMessageBytes = 8 << 20;
constexpr int kMaxPublicCalls = 256;  // of one connection, at once
constexpr int kMaxPublicIdleMs = 300'000;
constexpr int kMaxReflectionThreads = 16;
// How long one attempt to connect may take. gRPC calls it the minimal backoff, but a refused connection is
// tried again after the backoff proper; too short, and a busy machine fails its handshakes.
constexpr int kConnectLimitMs = 5000;

struct TlsContents {
  std::string cert, key, ca;
};

class SecretShower final : public grpc::experimental::Interceptor {
 public:
  explicit SecretShower(ShownSecret secret) : secret_(std::move(secret)) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      batch->GetSendInitialMetadata()->emplace(secret_.key, secret_.value);
    }
    batch->Proceed();
  }

 private:
  const ShownSecret secret_;
};

class SecretShowers final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit SecretShowers(ShownSecret secret) : secret_(std::move(secret)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new SecretShower(secret_);  // gRPC deletes it
  }

 private:
  const ShownSecret secret_;
};

// With any other byte in its metadata a call aborts the process.
bool IsHeaderText(const std::string& value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

absl::StatusOr<TlsContents> ReadAll(const TlsFiles& files) {
  TlsContents contents;
  QUIRE_ASSIGN_OR_RETURN(contents.cert, ReadWholeFile(files.cert));
  QUIRE_ASSIGN_OR_RETURN(contents.key, ReadWholeFile(files.key));
  QUIRE_ASSIGN_OR_RETURN(contents.ca, ReadWholeFile(files.ca));
  return contents;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentials(const GrpcServerOptions& options) {
  if (options.tls.empty()) return grpc::InsecureServerCredentials();
  QUIRE_ASSIGN_OR_RETURN(TlsContents contents, ReadAll(options.tls));
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_root_certs = contents.ca;
  ssl.pem_key_cert_pairs.push_back({contents.key, contents.cert});
  return grpc::SslServerCredentials(ssl);
}

// What is to be done with this host, in the clear if there is no TLS.
absl::Status CheckClear(const std::string& what, const std::string& host, const TlsFiles& tls,
                        bool insecure) {
  QUIRE_RETURN_IF_ERROR(CheckTls(tls));
  if (!tls.empty() || insecure || IsLoopbackHost(host)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "refusing to ", what, " without mTLS: give --tls-cert, --tls-key and --tls-ca, or --insecure"));
}

}  // namespace

bool IsLoopbackHost(const std::string& host) {
  in_addr v4{};  // a name may begin with 127, too
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4) == 1;
  return host == "localhost" || host == "::1" || host == "[::1]" || (is_v4 && host.starts_with("127."));
}

absl::Status CheckTls(const TlsFiles& files) {
  const bool whole = !files.cert.empty() && !files.key.empty() && !files.ca.empty();
  if (files.empty() || whole) return absl::OkStatus();
  return absl::InvalidArgumentError("mTLS needs all three of --tls-cert, --tls-key and --tls-ca");
}

absl::Status CheckListen(const GrpcServerOptions& options) {
  QUIRE_RETURN_IF_ERROR(CheckListenHost(options.host));
  return CheckClear(absl::StrCat("serve internal gRPC on ", options.host), options.host, options.tls,
                    options.insecure);
}

absl::Status CheckDial(const std::string& whom, const std::string& address, const TlsFiles& tls,
                       bool insecure) {
  return CheckClear(absl::StrCat("talk to ", whom, " at ", address), address.substr(0, address.rfind(':')),
                    tls, insecure);
}

namespace {

// How long a peer may be silent, and how much it may ask for at once.
void SetPatience(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  const bool is_public = options.public_bytes > 0;
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, is_public ? 10'000 : 2000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, is_public ? 20'000 : 1000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (!is_public) return;
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxPublicCalls);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxPublicIdleMs);
  // A compressed message is small until it is inflated, and the bound of messages looks before that.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  // Reflection has a thread for each of its streams, which last as long as their client likes.
  builder.SetResourceQuota(
      grpc::ResourceQuota("public").Resize(options.public_bytes).SetMaxThreads(kMaxReflectionThreads));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

}  // namespace

absl::StatusOr<GrpcServer> StartGrpcServer(const GrpcServerOptions& options,
                                           const std::vector<grpc::Service*>& services) {
  QUIRE_RETURN_IF_ERROR(CheckListen(options));
  QUIRE_ASSIGN_OR_RETURN(auto credentials, ServerCredentials(options));
  grpc::EnableDefaultHealthCheckService(true);
  if (options.public_bytes > 0) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  GrpcServer result;
  const std::string address = JoinHostPort(options.host, options.port);
  builder.AddListeningPort(address, credentials, &result.port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.SetMaxReceiveMessageSize(options.public_bytes > 0 ? kMaxPublicMessageBytes : kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port must fail, not be shared
  SetPatience(options, builder);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  result.server = builder.BuildAndStart();
  if (result.server == nullptr || result.port == 0) {
    return absl::UnavailableError(
        absl::StrCat("can't listen on ", address,
                     ": the host is none of this machine's (127.0.0.1; 0.0.0.0 for all), or the "
                     "port is taken or not ours"));
  }
  return result;
}

ShownSecret GatewaySecret(const std::string& pepper) {
  return {"quire-gateway-secret", ToHex(HmacSha256(pepper, "a gateway to its coordinator"))};
}

ShownSecret SessionSecret(const std::string& pepper) {
  return {kSessionSecretKey, ToHex(HmacSha256(pepper, "a gateway to a worker group"))};
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeGrpcChannel(const std::string& address,
                                                               const TlsFiles& tls,
                                                               const ShownSecret& secret) {
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  QUIRE_RETURN_IF_ERROR(CheckTls(tls));
  if (!tls.empty()) {
    QUIRE_ASSIGN_OR_RETURN(TlsContents contents, ReadAll(tls));
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = contents.ca;
    ssl.pem_private_key = contents.key;
    ssl.pem_cert_chain = contents.cert;
    credentials = grpc::SslCredentials(ssl);
  }
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectLimitMs);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!IsHeaderText(secret.value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the value of ", secret.key, " holds what no header may: use printable ASCII only"));
  }
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!secret.key.empty()) interceptors.push_back(std::make_unique<SecretShowers>(secret));
  return grpc::experimental::CreateCustomChannelWithInterceptors(address, credentials, args,
                                                                 std::move(interceptors));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace quire
