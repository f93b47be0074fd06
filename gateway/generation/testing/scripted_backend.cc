#include "gateway/generation/testing/scripted_backend.h"

#include <grpc/grpc.h>

#include <thread>

#include "base/core/hash.h"
#include "base/core/token_price.h"

namespace quire::gateway::testing {
namespace {

constexpr int64_t kPromptPrice = 75, kCachedPrice = 25, kCompletionPrice = 150;

v1::Price ThePrice() {
  v1::Price price;
  price.set_version(1);
  price.set_prompt_nano_usd(kPromptPrice);
  price.set_cached_prompt_nano_usd(kCachedPrice);
  price.set_completion_nano_usd(kCompletionPrice);
  return price;
}

// gRPC closes itself down when its last user goes, and begins anew with the next: a test that starts while
// the connections of the last one are still being closed would have it do both at once. So it stays.
void KeepGrpc() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  (void)kept;
}

}  // namespace

class ScriptedBackend::CoordinatorService final : public v1::Coordinator::Service {
 public:
  explicit CoordinatorService(ScriptedBackend& backend) : backend_(backend) {}

  grpc::Status Admit(grpc::ServerContext*, const v1::AdmitRequest* request,
                     grpc::ServerWriter<v1::AdmitReply>* writer) override {
    const auto admit = backend_.admit;
    return admit(*request, [writer](const v1::AdmitReply& reply) { writer->Write(reply); });
  }
  grpc::Status Progress(grpc::ServerContext*, const v1::ProgressRequest* request,
                        v1::ProgressReply* reply) override {
    if (!backend_.progress_ends.ok()) return backend_.progress_ends;
    const auto answer = backend_.progress;
    for (const v1::RequestProgress& progress : request->requests()) {
      *reply->add_results() = answer(progress);
    }
    return grpc::Status::OK;
  }
  grpc::Status Readmit(grpc::ServerContext*, const v1::ReadmitRequest* request,
                       v1::ReadmitReply* reply) override {
    if (!backend_.readmit_ends.ok()) return backend_.readmit_ends;
    const auto readmit = backend_.readmit;
    *reply = readmit(*request);
    return grpc::Status::OK;
  }
  grpc::Status Settle(grpc::ServerContext*, const v1::SettleRequest* request,
                      v1::SettleReply* reply) override {
    if (backend_.settles_to_refuse.fetch_sub(1) > 0) return {grpc::StatusCode::UNAVAILABLE, "no leader"};
    backend_.RecordSettles(*request, *reply);
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::WatchEvent>* writer) override {
    backend_.SendFacts(*context, *writer);
    return grpc::Status::OK;
  }
  grpc::Status GetTextBundle(grpc::ServerContext*, const v1::GetTextBundleRequest* request,
                             grpc::ServerWriter<v1::BundleChunk>* writer) override {
    if (backend_.bundles_lost) return {grpc::StatusCode::NOT_FOUND, "no such bundle"};
    const bool is_other = request->digest() == ToBytes(Sha256(backend_.other_bundle));
    const std::string& bundle = is_other ? backend_.other_bundle : backend_.bundle_;
    if (is_other) backend_.before_other_bundle();
    v1::BundleChunk chunk;
    chunk.set_data(bundle.substr(0, bundle.size() / 2));
    writer->Write(chunk);
    chunk.set_data(bundle.substr(bundle.size() / 2));
    chunk.set_last(true);
    writer->Write(chunk);
    return grpc::Status::OK;
  }

 private:
  ScriptedBackend& backend_;
};

class ScriptedBackend::InferenceService final : public v1::Inference::Service {
 public:
  explicit InferenceService(ScriptedBackend& backend) : backend_(backend) {}

  grpc::Status Serve(grpc::ServerContext* context, ScriptedSession::Stream* stream) override {
    ScriptedSession session(*context, *stream);
    {
      MutexLock lock(&backend_.mutex_);
      backend_.sessions_.insert(&session);
    }
    std::vector<std::thread> scripts;
    for (v1::GatewayFrame frame; stream->Read(&frame);) {
      if (frame.has_submit()) {
        session.Open(frame.submit().tag(), frame.submit().credit());
        scripts.emplace_back([this, &session, submit = frame.submit()] { Run(session, submit); });
      }
      for (const v1::Credit& credit : frame.credits()) session.Grant(credit.tag(), credit.tokens());
      for (const uint64_t tag : frame.aborts()) session.Abort(tag);
      for (const v1::ChoiceAbort& abort : frame.choice_aborts())
        session.AbortChoice(abort.tag(), abort.choice());
    }
    {
      MutexLock lock(&backend_.mutex_);
      backend_.sessions_.erase(&session);
    }
    session.Over();
    for (std::thread& script : scripts) script.join();
    return grpc::Status::OK;
  }

 private:
  void Run(ScriptedSession& session, const v1::Submit& submit) {
    TokenWriter tokens(session, submit.tag(), submit.request());
    const auto generate = backend_.generate;
    const grpc::Status status = generate(submit.request(), tokens);
    v1::RequestUpdate update;
    update.mutable_ended()->set_code(status.error_code());
    update.mutable_ended()->set_message(status.error_message());
    session.Say(submit.tag(), std::move(update));
  }

  ScriptedBackend& backend_;
};

ScriptedBackend::ScriptedBackend(const v1::TextBundle& bundle)
    : bundle_(bundle.SerializeAsString()),
      coordinator_(std::make_unique<CoordinatorService>(*this)),
      inference_(std::make_unique<InferenceService>(*this)) {
  KeepGrpc();
  admit = [this](const v1::AdmitRequest& request, const AdmitWriter& write) {
    write(Placement());
    v1::AdmitReply grant = Grant(PositionsEach(request.max_tokens()));
    if (request.max_tokens() == 0) grant.mutable_grant()->mutable_price()->set_completion_nano_usd(0);
    write(grant);
    return grpc::Status::OK;
  };
  generate = [](const v1::GenerateRequest&, TokenWriter&) { return grpc::Status::OK; };
  readmit = [this](const v1::ReadmitRequest& request) {
    v1::ReadmitReply reply;
    if (request.failed_group_id() == "g" && request.failed_group_epoch() == 1) {
      reply.mutable_refusal()->set_reason(v1::REFUSAL_NO_CAPACITY);
      reply.mutable_refusal()->set_retry_after_s(1);
    } else {
      *reply.mutable_placement() = Placement().placement();
    }
    return reply;
  };
  progress = [](const v1::RequestProgress& progress) {
    v1::ProgressResult result;
    result.set_request_id(progress.request_id());
    result.set_granted_positions(progress.want_positions());
    return result;
  };
  server_ = *StartGrpcServer({}, {coordinator_.get(), inference_.get()});
  address_ = "127.0.0.1:" + std::to_string(server_.port);
}

ScriptedBackend::~ScriptedBackend() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
  }
  server_.server->Shutdown(std::chrono::system_clock::now());
}

v1::AdmitReply ScriptedBackend::Placement() const {
  v1::AdmitReply reply;
  reply.mutable_placement()->set_group_id("g");
  reply.mutable_placement()->set_group_epoch(1);
  reply.mutable_placement()->set_address(address_);
  return reply;
}

v1::ReadmitReply ScriptedBackend::Elsewhere(uint64_t epoch, const std::string& numerics_id) const {
  v1::ReadmitReply reply;
  *reply.mutable_placement() = Placement().placement();
  reply.mutable_placement()->set_group_epoch(epoch);
  reply.mutable_placement()->set_numerics_id(numerics_id);
  return reply;
}

v1::AdmitReply ScriptedBackend::Grant(uint64_t positions) const {
  v1::AdmitReply reply;
  reply.mutable_grant()->set_positions(positions);
  *reply.mutable_grant()->mutable_price() = ThePrice();
  return reply;
}

v1::AdmitReply ScriptedBackend::Refusal(v1::RefusalReason reason, uint32_t retry_after_s) {
  v1::AdmitReply reply;
  reply.mutable_refusal()->set_reason(reason);
  reply.mutable_refusal()->set_retry_after_s(retry_after_s);
  return reply;
}

void ScriptedBackend::SendModels(grpc::ServerWriter<v1::WatchEvent>& writer, size_t& sent) const {
  v1::WatchEvent event;
  const std::string names[] = {"tiny", "other", "tiny"};
  for (const size_t named = models_hidden  ? 0
                            : other_hidden ? 1
                            : tiny_changed ? 3
                                           : 2;
       sent < named; ++sent) {
    v1::ModelFact& model = *event.mutable_model();
    model.set_model(names[sent]);
    const bool is_other = sent > 0 && !other_bundle.empty();
    model.set_bundle_digest(ToBytes(Sha256(is_other ? other_bundle : bundle_)));
    model.set_max_context(2000);
    model.set_groups_ready(2);
    model.set_plain_context(1000);
    model.set_max_output_tokens(1500);
    model.set_created_unix_s(1700000000);
    model.set_owned_by("quire");
    *model.mutable_price() = ThePrice();
    writer.Write(event);
  }
}

void ScriptedBackend::SendFacts(grpc::ServerContext& context, grpc::ServerWriter<v1::WatchEvent>& writer) {
  while (silent) {
    if (context.IsCancelled() || Closing()) return;
  }
  v1::WatchEvent event;
  v1::KeyFact& key = *event.mutable_key();
  key.set_key_id(key_.id);
  key.set_key_hmac(ToBytes(ApiKeyHmac(pepper_, key_.text)));
  key.set_account_id("account");
  key.set_cache_salt("salt");
  key.add_models("tiny");
  if (!other_bundle.empty()) key.add_models("other");
  writer.Write(event);
  size_t sent = 0;
  SendModels(writer, sent);
  event.set_synced(true);
  writer.Write(event);
  while (!context.IsCancelled() && !silent && !Closing()) SendModels(writer, sent);
}

bool ScriptedBackend::Closing() {
  MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&closing_), absl::Milliseconds(10));
}

void ScriptedBackend::RecordSettles(const v1::SettleRequest& request, v1::SettleReply& reply) {
  MutexLock lock(&mutex_);
  for (const v1::RequestSettle& settle : request.requests()) {
    reply.add_results()->set_request_id(settle.request_id());
    if (settled_ids_.insert(settle.request_id()).second) settles_.push_back(settle);
  }
}

v1::RequestSettle ScriptedBackend::AwaitSettle(size_t n) {
  MutexLock lock(&mutex_);
  const auto arrived = [this, n]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return settles_.size() > n; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&arrived), absl::Seconds(30))) return {};
  return settles_[n];
}

size_t ScriptedBackend::settled() const {
  MutexLock lock(&mutex_);
  return settles_.size();
}

void ScriptedBackend::BreakSessions() {
  MutexLock lock(&mutex_);
  for (ScriptedSession* session : sessions_) session->Break();
}

uint64_t ScriptedBackend::DeliveredOf(const v1::RequestSettle& settle) {
  uint64_t total = 0;
  for (const v1::ChoiceTokens& choice : settle.delivered()) total += choice.tokens();
  return total;
}

}  // namespace quire::gateway::testing
