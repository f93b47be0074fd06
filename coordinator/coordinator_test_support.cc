#include "coordinator/coordinator_test_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/hash.h"
#include "base/net/grpc.h"

namespace quire::coordinator {
namespace {

constexpr size_t kChunkBytes = 1000;  // so that the bundle takes several

std::unique_ptr<v1::Coordinator::Stub> StubTo(const std::string& address) {
  return v1::Coordinator::NewStub(*MakeGrpcChannel(address, {}));
}

}  // namespace

std::string TestBundle() {
  v1::TextBundle bundle;
  v1::TextFile* file = bundle.add_files();
  file->set_name("tokenizer.json");
  file->set_content(std::string(2500, 't'));
  return bundle.SerializeAsString();
}

// ---- group ----

TestGroup::TestGroup(const std::string& coordinator, const std::string& id, uint64_t epoch,
                     uint64_t kv_blocks)
    : stub_(StubTo(coordinator)) {
  info.set_group_id(id);
  info.set_epoch(epoch);
  info.set_address("127.0.0.1:1");
  info.set_model("tiny");
  info.set_numerics_id("n1");
  info.set_ranks(2);
  info.set_kv_blocks(kv_blocks);
  info.set_block_tokens(16);
  info.set_max_context(4096);
  info.set_plain_context(2048);
  info.set_bundle_digest(ToBytes(Sha256(TestBundle())));
  info.set_max_sequences(8);
}

grpc::Status TestGroup::Register(const std::string& bundle) {
  if (!secret.empty()) context_.AddMetadata("quire-worker-secret", secret);
  stream_ = stub_->Register(&context_);
  v1::RegisterRequest request;
  *request.mutable_group() = info;
  stream_->Write(request);
  v1::RegisterReply reply;
  if (stream_->Read(&reply) && reply.need_bundle()) {
    asked_for_bundle_ = true;
    for (size_t sent = 0; sent < bundle.size(); sent += kChunkBytes) {
      v1::RegisterRequest chunk;
      chunk.mutable_chunk()->set_data(bundle.substr(sent, kChunkBytes));
      chunk.mutable_chunk()->set_last(sent + kChunkBytes >= bundle.size());
      stream_->Write(chunk);
    }
    reply.Clear();
    stream_->Read(&reply);
  }
  if (!reply.has_accepted()) return stream_->Finish();
  session_secret = reply.accepted().session_secret();
  registered_ = true;
  return grpc::Status::OK;
}

TestGroup::~TestGroup() {
  if (registered_) Leave();
}

bool TestGroup::Beat(bool healthy) {
  grpc::ClientContext context;
  if (!secret.empty()) context.AddMetadata("quire-worker-secret", secret);
  v1::HeartbeatRequest beat;
  beat.set_group_id(info.group_id());
  beat.set_epoch(info.epoch());
  beat.set_healthy(healthy);
  beat.set_kv_blocks_total(info.kv_blocks());
  beat.set_kv_blocks_free(info.kv_blocks());
  v1::HeartbeatReply reply;
  return stub_->Heartbeat(&context, beat, &reply).ok() && reply.known();
}

void TestGroup::Leave() {
  registered_ = false;
  stream_->WritesDone();
  stream_->Finish();
}

// ---- gateway ----

TestGateway::TestGateway(const std::string& coordinator, const std::string& pepper)
    : stub_(v1::Coordinator::NewStub(*MakeGrpcChannel(coordinator, {}, GatewaySecret(pepper)))) {}

v1::AdmitRequest TestGateway::Request(const RequestId& id, const std::string& key_id) const {
  v1::AdmitRequest request;
  request.set_request_id(id.ToBytes());
  request.set_key_id(key_id);
  request.set_model("tiny");
  request.set_choices(1);
  request.set_prompt_tokens(100);
  request.set_max_tokens(1000);
  request.set_gateway_id("test");
  request.set_max_wait_ms(60'000);
  return request;
}

Admitted TestGateway::Admit(const v1::AdmitRequest& request) {
  grpc::ClientContext context;
  auto stream = stub_->Admit(&context, request);
  Admitted admitted;
  v1::AdmitReply reply;
  while (stream->Read(&reply)) {
    if (reply.has_placement()) admitted.placement = reply.placement();
    if (reply.has_grant()) admitted.grant = reply.grant();
    if (reply.has_refusal()) admitted.refusal = reply.refusal();
    admitted.order.push_back(reply.has_placement() ? "placement" : reply.has_grant() ? "grant" : "refusal");
  }
  admitted.status = stream->Finish();
  return admitted;
}

v1::ProgressResult TestGateway::Progress(const RequestId& id, uint64_t delivered, uint64_t want,
                                         const std::string& group, uint64_t epoch) {
  grpc::ClientContext context;
  v1::ProgressRequest request;
  v1::RequestProgress* progress = request.add_requests();
  progress->set_request_id(id.ToBytes());
  progress->add_delivered()->set_tokens(delivered);
  progress->set_want_positions(want);
  progress->set_group_id(group);
  progress->set_group_epoch(epoch);
  v1::ProgressReply reply;
  stub_->Progress(&context, request, &reply);
  return reply.results_size() == 1 ? reply.results(0) : v1::ProgressResult();
}

int64_t TestGateway::Settle(const RequestId& id, uint64_t delivered) {
  grpc::ClientContext context;
  v1::SettleRequest request;
  v1::RequestSettle* settle = request.add_requests();
  settle->set_request_id(id.ToBytes());
  settle->add_delivered()->set_tokens(delivered);
  settle->set_reason(v1::SETTLE_COMPLETED);
  v1::SettleReply reply;
  stub_->Settle(&context, request, &reply);
  return reply.results_size() == 1 ? reply.results(0).amount_nano_usd() : -1;
}

v1::ReadmitReply TestGateway::Readmit(const v1::ReadmitRequest& request) {
  grpc::ClientContext context;
  v1::ReadmitReply reply;
  stub_->Readmit(&context, request, &reply);
  return reply;
}

absl::StatusOr<std::string> TestGateway::FetchBundle(const std::string& digest) {
  grpc::ClientContext context;
  v1::GetTextBundleRequest request;
  request.set_digest(digest);
  auto stream = stub_->GetTextBundle(&context, request);
  std::string bundle;
  v1::BundleChunk chunk;
  while (stream->Read(&chunk)) bundle += chunk.data();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return FromGrpc(status);
  return bundle;
}

// ---- watch ----

TestWatch::TestWatch(TestGateway& gateway) : stream_(gateway.stub().Watch(&context_, v1::WatchRequest())) {}

TestWatch::~TestWatch() {
  context_.TryCancel();
  stream_->Finish();
}

v1::WatchEvent TestWatch::Next() {
  v1::WatchEvent event;
  stream_->Read(&event);
  return event;
}

std::vector<v1::WatchEvent> TestWatch::UntilSynced() {
  std::vector<v1::WatchEvent> events;
  v1::WatchEvent event;
  while (stream_->Read(&event) && !event.synced()) events.push_back(event);
  return events;
}

// ---- operator ----

AdminAnswer TestOperator::Call(const std::string& method, const std::string& path,
                               const std::string& body) const {
  const std::vector<std::string> host_port = absl::StrSplit(admin_, ':');
  int port = 0;
  if (!absl::SimpleAtoi(host_port[1], &port)) return {};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, host_port[0].c_str(), &address.sin_addr);
  AdminAnswer answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string head =
        absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
                     key_.empty() ? "" : absl::StrCat("Authorization: Bearer ", key_, "\r\n"),
                     "Content-Length: ", body.size(), "\r\n\r\n", body);
    (void)!write(fd, head.data(), head.size());
    char buffer[4096];
    for (ssize_t size = 0; (size = read(fd, buffer, sizeof buffer)) > 0;) {
      answer.text.append(buffer, static_cast<size_t>(size));
    }
  }
  close(fd);
  const size_t body_at = answer.text.find("\r\n\r\n");
  if (body_at == std::string::npos || !absl::SimpleAtoi(answer.text.substr(9, 3), &answer.status)) return {};
  answer.head = answer.text.substr(0, body_at + 2);
  answer.text = answer.text.substr(body_at + 4);
  answer.body = nlohmann::json::parse(answer.text, nullptr, false);
  return answer;
}

}  // namespace quire::coordinator
