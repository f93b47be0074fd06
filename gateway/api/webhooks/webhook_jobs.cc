#include "gateway/api/webhooks/webhook_jobs.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "gateway/api/inference/inference_writers.h"
#include "gateway/api/webhooks/job_sink.h"
#include "gateway/api/webhooks/webhook_signature.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr int kThreads = 1;
// For one attempt, and for one while the gateway ends.
constexpr milliseconds kAttempt{10'000}, kLastAttempt{4'000};
// Of an account: jobs that came to nothing cost it nothing, and each calls somebody.
constexpr BudgetLimits kFailures{.burst = 100, .every_us = 1'000'000};
// What one account may have of all jobs and of all bytes that wait.
constexpr size_t kShare = 4;

double MillisecondsBetween(int64_t begun_us, int64_t now_us) {
  return static_cast<double>(now_us - begun_us) / 1000;
}

// What was thrown is not logged: it may quote the client.
awaitable<void> Guarded(const std::string& request_id, awaitable<void> work) {
  const char* thrown = nullptr;
  try {
    co_await std::move(work);
  } catch (const std::exception& error) {
    thrown = typeid(error).name();
  } catch (...) {
    thrown = "unknown";
  }
  if (thrown != nullptr) Log(LogLevel::kError, "job_threw", "request", request_id, "type", thrown);
}

}  // namespace

struct WebhookJobs::Job {
  RequestId id;
  http::HttpsUrl url;
  http::RequestRecord record;
  int64_t begun_us = 0;
  size_t held_bytes = 0;  // of its answer
  boost::asio::any_io_executor executor;
  std::shared_ptr<Mailbox<bool>> wake = std::make_shared<Mailbox<bool>>();
  std::optional<JobSink> sink;
};

absl::StatusOr<std::unique_ptr<WebhookJobs>> WebhookJobs::Make(const WebhookOptions& options,
                                                               const std::string& pepper,
                                                               const Pipeline& pipeline, const Clock& clock,
                                                               Metrics& metrics, http::RequestSink log) {
  QUIRE_ASSIGN_OR_RETURN(WebhookRules rules, WebhookRules::Parse(options.allow));
  std::unique_ptr<WebhookJobs> jobs(
      new WebhookJobs(options, std::move(rules), pepper, pipeline, clock, metrics, std::move(log)));
  http::HttpsClient::Options client{.ca_file = options.ca_file, .resolve = nullptr, .may_reach = nullptr};
  client.resolve = [self = jobs.get()](const http::HttpsPost& post, milliseconds limit) {
    return self->lookups_.Find(post, limit);
  };
  client.may_reach = [self = jobs.get()](const http::HttpsUrl& url, const boost::asio::ip::address& address) {
    return self->rules_.MayReach(url, address);
  };
  QUIRE_ASSIGN_OR_RETURN(jobs->client_, http::HttpsClient::Make(std::move(client)));
  return jobs;
}

WebhookJobs::WebhookJobs(const WebhookOptions& options, WebhookRules rules, std::string pepper,
                         const Pipeline& pipeline, const Clock& clock, Metrics& metrics,
                         http::RequestSink log)
    : rules_(std::move(rules)),
      pepper_(std::move(pepper)),
      pipeline_(pipeline),
      clock_(clock),
      metrics_(metrics),
      running_(metrics.Gauge("quire_gateway_webhook_jobs",
                             "Requests whose answer goes to a webhook, until that was sent or given up")),
      lines_(clock, http::Fruit::kTokens, std::move(log)),
      max_jobs_(static_cast<size_t>(options.jobs)),
      max_waiting_bytes_(options.waiting_bytes),
      first_retry_(options.retry_ms),
      failures_(kFailures),
      lookups_(options.look_up),
      threads_(kThreads) {}

WebhookJobs::~WebhookJobs() { Abandon(); }

std::string WebhookJobs::SecretOf(const std::string& key_id) const {
  return SayWebhookSecret(WebhookSecret(pepper_, key_id));
}

bool WebhookJobs::draining() const {
  MutexLock lock(&mutex_);
  return refusing_;
}

void WebhookJobs::Refuse() {
  MutexLock lock(&mutex_);
  refusing_ = true;
  for (const auto& [id, job] : jobs_) job->wake->Push(true);
}

void WebhookJobs::Abandon() {
  Refuse();
  MutexLock lock(&mutex_);
  for (const auto& [id, job] : jobs_) {
    boost::asio::post(job->executor, [job = job] { job->sink->Leave(); });
  }
}

bool WebhookJobs::AwaitIdle(absl::Duration limit) {
  MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return jobs_.empty(); };
  return mutex_.AwaitWithTimeout(absl::Condition(&idle), limit);
}

// ---- who is inside ----

std::optional<http::ApiError> WebhookJobs::Enter(const std::shared_ptr<Job>& job) {
  if (failures_.Spent(job->record.account, clock_.NowUs())) return TooManyJobs();
  MutexLock lock(&mutex_);
  if (refusing_) return FromStatus(absl::UnavailableError("the server is shutting down: ask again"));
  const auto share = accounts_.find(job->record.account);
  const size_t own = share == accounts_.end() ? 0 : share->second.jobs;
  if (jobs_.size() >= max_jobs_ || own >= std::max<size_t>(max_jobs_ / kShare, 1)) return TooManyJobs();
  ++accounts_[job->record.account].jobs;
  jobs_[job->id] = job;
  running_.Set(static_cast<double>(jobs_.size()));
  return std::nullopt;
}

void WebhookJobs::Leave(const Job& job) {
  MutexLock lock(&mutex_);
  Share& share = accounts_[job.record.account];
  share.bytes -= job.held_bytes;
  waiting_bytes_ -= job.held_bytes;
  if (--share.jobs == 0) accounts_.erase(job.record.account);
  jobs_.erase(job.id);
  running_.Set(static_cast<double>(jobs_.size()));
}

bool WebhookJobs::Hold(Job& job, size_t bytes) {
  MutexLock lock(&mutex_);
  Share& share = accounts_[job.record.account];
  if (waiting_bytes_ + bytes > max_waiting_bytes_ || share.bytes + bytes > max_waiting_bytes_ / kShare) {
    return false;
  }
  job.held_bytes = bytes;
  share.bytes += bytes;
  waiting_bytes_ += bytes;
  return true;
}

std::optional<http::ApiError> WebhookJobs::Begin(Prepared prepared, const RequestId& id,
                                                 const http::RequestRecord& asked) {
  if (max_jobs_ == 0) return InvalidField("webhook", "webhook: this server calls none: leave it out");
  if (auto wrong = rules_.Check(*prepared.webhook)) return wrong;
  auto job = std::make_shared<Job>();
  job->id = id;
  job->url = *prepared.webhook;
  job->record.request_id = id.ToHex();
  job->record.key_id = asked.key_id;
  job->record.account = asked.account;
  job->record.method = "JOB";
  job->record.route = asked.route;
  job->begun_us = clock_.NowUs();
  job->executor = threads_.Next();
  job->sink.emplace([this, job = job.get()] {
    job->record.first_token_ms = MillisecondsBetween(job->begun_us, clock_.NowUs());
  });
  if (auto full = Enter(job)) return full;
  const boost::asio::any_io_executor executor = job->executor;
  boost::asio::co_spawn(executor, Run(std::move(job), std::move(prepared)), boost::asio::detached);
  return std::nullopt;
}

// ---- on the jobs' thread ----

awaitable<void> WebhookJobs::Run(std::shared_ptr<Job> job, Prepared prepared) {
  const absl::Cleanup leave = [this, &job] { Leave(*job); };
  co_await Guarded(job->record.request_id, Serve(*job, std::move(prepared)));
  co_await Guarded(job->record.request_id, Tell(*job));
}

awaitable<void> WebhookJobs::Serve(Job& job, Prepared prepared) {
  std::exception_ptr thrown;
  try {
    co_await pipeline_.Serve(std::move(prepared), *job.sink, job.record);
  } catch (...) {
    thrown = std::current_exception();
  }
  job.sink->OnGone(nullptr);
  if (thrown != nullptr) std::rethrow_exception(thrown);
}

awaitable<void> WebhookJobs::Tell(Job& job) {
  Record(job);
  std::string body = job.sink->TakeBody();
  if (!job.sink->finished()) {
    failures_.Spend(job.record.account, clock_.NowUs());
    const http::ApiError error = job.sink->error().value_or(InternalError());
    body = InferenceJobJson(job.id, "failed", static_cast<int64_t>(job.record.total_ms), &error);
  }
  co_await Send(job, std::move(body));
}

void WebhookJobs::Record(Job& job) {
  job.record.total_ms = MillisecondsBetween(job.begun_us, clock_.NowUs());
  job.record.status = job.sink->finished() ? 200 : job.sink->error().value_or(InternalError()).status;
  if (job.sink->error()) job.record.error = job.sink->error()->code;
  lines_.Write(job.record);
}

awaitable<void> WebhookJobs::Send(Job& job, std::string body) {
  const bool may_wait = Hold(job, body.size());
  const WebhookDelivery delivery{
      .id = "msg_" + job.record.request_id,
      .account = job.record.account,
      .url = job.url,
      .secret = WebhookSecret(pepper_, job.record.key_id),
      .body = std::move(body),
      .on_end = [&job](std::function<void()> end) { job.sink->OnGone(std::move(end)); }};
  DeliveryWorld world{.post = nullptr, .wait = nullptr, .clock = clock_};
  world.post = [this](http::HttpsPost post) {
    return client_->Post(std::move(post), draining() ? kLastAttempt : kAttempt);
  };
  world.wait = [this, &job](milliseconds delay) { return Wait(job, delay); };
  const bool once = !may_wait || draining();
  const std::vector<milliseconds> delays = once ? std::vector<milliseconds>() : RetryDelays(first_retry_);
  const DeliveryReport report = co_await Deliver(delivery, world, delays);
  Report(job, report);
}

awaitable<bool> WebhookJobs::Wait(Job& job, milliseconds delay) {
  const std::vector<bool> woken = co_await job.wake->WaitFor(delay);
  co_return woken.empty() && !draining();
}

// The path and the query are the client's to know.
void WebhookJobs::Report(const Job& job, const DeliveryReport& report) {
  const char* outcome = NameOf(report.outcome);
  metrics_
      .Counter("quire_gateway_webhook_deliveries_total", "Webhooks that were sent or given up, by outcome.",
               {{"outcome", outcome}})
      .Increment();
  Log(LogLevel::kInfo, "webhook", "request_id", job.record.request_id, "key_id", job.record.key_id, "account",
      job.record.account, "to", JoinHostPort(job.url.host, job.url.port), "outcome", outcome, "status",
      report.status, "attempts", report.attempts, "reason", report.reason);
}

}  // namespace quire::gateway
