// Requests whose answer goes to a webhook: each is a coroutine on a thread of these jobs, admitted, metered
// and settled as any other, and then delivered. Nobody stores them: they end with the gateway, and say so.
// One for the gateway; any thread. Always: so many in all and of one account, from being taken to the end of
// the last attempt; answers that wait for another attempt hold so many bytes; an account whose jobs come to
// nothing has so many of them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/core/budgets.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "base/http/https_client.h"
#include "base/http/request_lines.h"
#include "gateway/api/call_threads.h"
#include "gateway/api/pipeline/pipeline.h"
#include "gateway/api/webhooks/name_lookups.h"
#include "gateway/api/webhooks/webhook_delivery.h"
#include "gateway/api/webhooks/webhook_rules.h"

namespace quire::gateway {

struct WebhookOptions {
  std::string allow;    // see WebhookRules::Parse
  std::string ca_file;  // trusted beside the system's authorities; empty: none
  int64_t jobs = 256;   // at once; 0: webhooks are refused
  int64_t retry_ms = 5000;
  size_t waiting_bytes = size_t{64} << 20;
  NameLookups::LookUp look_up = http::LookUp;
};

class WebhookJobs {
 public:
  // All must outlive it. InvalidArgument: the rules or the file of certificates.
  static absl::StatusOr<std::unique_ptr<WebhookJobs>> Make(const WebhookOptions& options,
                                                           const std::string& pepper,
                                                           const Pipeline& pipeline, const Clock& clock,
                                                           Metrics& metrics,
                                                           http::RequestSink log = http::LogRequest);
  ~WebhookJobs();

  // Takes a request that names a webhook, or says why not. `asked`: its record so far.
  std::optional<http::ApiError> Begin(Prepared prepared, const RequestId& id,
                                      const http::RequestRecord& asked) ABSL_LOCKS_EXCLUDED(mutex_);
  // The secret that signs what this key's jobs send, as its owner is told it.
  std::string SecretOf(const std::string& key_id) const;

  // From now on none is taken, and an attempt that fails is made once more, at once, and not again.
  void Refuse() ABSL_LOCKS_EXCLUDED(mutex_);
  // What still runs or is sent ends now, as given up.
  void Abandon() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether none is left.
  bool AwaitIdle(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Job;

  WebhookJobs(const WebhookOptions& options, WebhookRules rules, std::string pepper, const Pipeline& pipeline,
              const Clock& clock, Metrics& metrics, http::RequestSink log);
  std::optional<http::ApiError> Enter(const std::shared_ptr<Job>& job) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(const Job& job) ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Room for an answer that may have to wait, until its job leaves; false: it is sent once.
  bool Hold(Job& job, size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  boost::asio::awaitable<void> Run(std::shared_ptr<Job> job, Prepared prepared);
  boost::asio::awaitable<void> Serve(Job& job, Prepared prepared);
  boost::asio::awaitable<void> Tell(Job& job);
  boost::asio::awaitable<void> Send(Job& job, std::string body);
  boost::asio::awaitable<bool> Wait(Job& job, std::chrono::milliseconds delay);
  void Record(Job& job);
  void Report(const Job& job, const DeliveryReport& report);

  const WebhookRules rules_;
  const std::string pepper_;
  const Pipeline& pipeline_;
  const Clock& clock_;
  Metrics& metrics_;
  prometheus::Gauge& running_;
  http::RequestLines lines_;
  const size_t max_jobs_, max_waiting_bytes_;
  const std::chrono::milliseconds first_retry_;
  std::unique_ptr<http::HttpsClient> client_;
  Budgets failures_;  // by account
  mutable Mutex mutex_;
  bool refusing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<RequestId, std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  struct Share {
    size_t jobs = 0, bytes = 0;
  };
  absl::flat_hash_map<std::string, Share> accounts_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  NameLookups lookups_;
  CallThreads threads_;  // whose end is that of the jobs' coroutines
};

}  // namespace quire::gateway
